"""Who may do what: tokens, roles, rights, and tokens of OIDC issuers."""
