"""Which document each command prints with `--json`, and which files have a schema.

A command with several documents prints one of them: `pack` prints an estimate with `--dry-run`.
"""

from typing import Any

from skillpm.cli import (
    answer_documents,
    documents,
    graft_documents,
    relation_documents,
    result_documents,
    setting_documents,
    upkeep_documents,
)
from skillpm.cli.estimate_documents import EstimateDocument
from skillpm.spec import registry_people as people
from skillpm.spec.fields import Document
from skillpm.spec.lockfile import Lockfile
from skillpm.spec.manifest import Manifest
from skillpm.spec.plan import PlanDocument
from skillpm.spec.probe_items import (
    ExactMatchItem,
    JudgedItem,
    LabelItem,
    MultipleChoiceItem,
    ProbesHeader,
    RetrievalItem,
    TokenLossItem,
)
from skillpm.spec.project import ProjectFile
from skillpm.spec.savedindex import SavedIndexFile
from skillpm.transfer.answers import AnswerLine
from skillpm.transfer.config import TransferFile
from skillpm.transfer.prompts import PromptLine
from skillpm.transfer.report import TransferDocument


class TextLine(Document):
    """A line of a calibration file, of router examples, or of `route --file`."""

    text: str


class MembersDocument(people.MemberList, people.PublisherList):
    """The result of `registry namespace list NS`."""


FILES: dict[str, tuple[Any, ...]] = {
    "project": (ProjectFile,),
    "lock": (Lockfile,),
    "manifest": (Manifest,),
    "plan": (PlanDocument,),
    "index": (SavedIndexFile,),
    "probes": (
        ProbesHeader, JudgedItem, ExactMatchItem, MultipleChoiceItem, RetrievalItem, LabelItem,
        TokenLossItem,
    ),
    "texts": (TextLine,),
    "transfer": (TransferFile,),
    "prompts": (PromptLine,),
    "answers": (AnswerLine,),
}  # fmt: skip
"""Files by name. `probes`, `texts`, `prompts` and `answers` describe a line."""

STRICT = frozenset({"project", "transfer"})
"""Files that people write, in which an unknown key is an error."""

_CHANGE = (result_documents.ChangeDocument,)
COMMANDS: dict[str, tuple[Any, ...]] = {
    "apply": _CHANGE,
    "audit": (documents.AuditDocument,),
    "bundle": (result_documents.BundleDocument,),
    "cache clean": (upkeep_documents.CleanedCache,),
    "cache info": (upkeep_documents.CacheDocument,),
    "cache path": (upkeep_documents.HomeDocument,),
    "cache verify": (upkeep_documents.CheckedCache,),
    "completion": (upkeep_documents.CompletionDocument,),
    "config get": (setting_documents.SettingDocument,),
    "config set": (setting_documents.SettingsChangeDocument,),
    "config show": (setting_documents.ConfigDocument,),
    "config unset": (setting_documents.SettingsChangeDocument,),
    "diff": (relation_documents.DiffDocument,),
    "doctor": (upkeep_documents.DoctorDocument,),
    "export": (documents.ExportDocument,),
    "gc": (upkeep_documents.GarbageDocument,),
    "graft": (
        graft_documents.GraftDocument,
        graft_documents.ComparisonDocument,
        result_documents.TunedDocument,
    ),
    "history": (result_documents.HistoryDocument,),
    "identify": (documents.IdentityDocument,),
    "init": (result_documents.InitDocument,),
    "inspect": (result_documents.InspectDocument,),
    "install": _CHANGE,
    "list": (result_documents.ListDocument,),
    "lock": (result_documents.LockDocument,),
    "login": (upkeep_documents.AccountDocument,),
    "logout": (upkeep_documents.LogoutDocument,),
    "outdated": (relation_documents.OutdatedDocument,),
    "pack": (result_documents.PackedDocument, EstimateDocument),
    "probe": (result_documents.ProbesDocument,),
    "publish": (result_documents.PublishDocument,),
    "registry advisory add": (result_documents.AddedAdvisories,),
    "registry advisory list": (result_documents.AdvisoriesDocument,),
    "registry advisory withdraw": (documents.AdvisoryDocument,),
    "registry init": (
        upkeep_documents.RegistryDocument,
        upkeep_documents.TokenSecretDocument,
        upkeep_documents.NoTokenDocument,
    ),
    "registry migrate": (upkeep_documents.MigratedDocument,),
    "registry namespace create": (people.NamespaceDocument,),
    "registry namespace distrust": (upkeep_documents.RemovedRule,),
    "registry namespace grant": (people.MemberList,),
    "registry namespace list": (people.NamespaceList, MembersDocument),
    "registry namespace set": (people.NamespaceDocument,),
    "registry namespace revoke": (upkeep_documents.RevokedMember,),
    "registry namespace trust": (people.PublisherDocument,),
    "registry serve": (upkeep_documents.TokenSecretDocument,),
    "registry sweep": (upkeep_documents.SweptDocument,),
    "registry token create": (upkeep_documents.TokenSecretDocument,),
    "registry token list": (people.TokenList,),
    "registry token revoke": (upkeep_documents.RevokedToken,),
    "registry upgrade": (upkeep_documents.UpgradedDocument,),
    "resolve": (result_documents.ResolvedDocument,),
    "rollback": _CHANGE,
    "route": (result_documents.RoutedDocument, result_documents.RoutedFile),
    "run": (answer_documents.RunDocument,),
    "search": (result_documents.SearchDocument,),
    "show": (result_documents.ShowDocument, result_documents.ReleaseManifestDocument),
    "transfer": (TransferDocument,),
    "tree": (relation_documents.TreeDocument,),
    "uninstall": _CHANGE,
    "unyank": (result_documents.YankDocument,),
    "upgrade": _CHANGE,
    "verify": (result_documents.VerifyDocument,),
    "whoami": (upkeep_documents.AccountDocument,),
    "why": (relation_documents.WhyDocument,),
    "yank": (result_documents.YankDocument,),
}
"""The documents of each command, by its words."""
