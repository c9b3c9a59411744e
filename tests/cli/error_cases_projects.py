"""Mistakes with bases, locks, project files, registries and grafts."""

from error_cases import NAMED, Desk, case


@case
def wrong_base(desk: Desk) -> tuple[str, ...]:
    desk.change_base()
    desk.init()
    return ("install", desk.pack())


@case
def base_that_is_nearly_right(desk: Desk) -> tuple[str, ...]:
    desk.init()
    return ("install", desk.foreign_pack())


@case
def no_release_for_the_base(desk: Desk) -> tuple[str, ...]:
    desk.change_base()
    desk.init()
    desk.publish()
    return ("install", "acme/math")


@case
def conflicting_packs(desk: Desk) -> tuple[str, ...]:
    desk.install()
    return ("install", desk.pack("acme/sql", "1.0.0", "--conflicts", "acme/math ^1"))


@case
def url_as_path(desk: Desk) -> tuple[str, ...]:
    desk.init()
    return ("install", "https://example.com/acme-math-1.0.0.skillpack")


@case
def locked_project(desk: Desk) -> tuple[str, ...]:
    desk.init()
    return ("install", "--no-wait")


@case
def lock_out_of_date_with_frozen(desk: Desk) -> tuple[str, ...]:
    desk.install()
    desk.edit('"^1.0.0"', '"^1.0.0"\n"acme/sql" = "^2"')
    return ("install", "--frozen")


@case
def lock_check(desk: Desk) -> tuple[str, ...]:
    desk.install()
    desk.edit('"^1.0.0"', '"^1.0.0"\n"acme/sql" = "^2"')
    return ("lock", "--check")


@case
def lock_with_conflict_markers(desk: Desk) -> tuple[str, ...]:
    desk.install()
    lock = desk.world.project / "skillpm.lock"
    text = lock.read_text()
    lock.write_text(f"<<<<<<< ours\n{text}=======\n{text}>>>>>>> theirs\n")
    return ("install", "--frozen")


@case
def unknown_key_in_the_project_file(desk: Desk) -> tuple[str, ...]:
    desk.init()
    desk.world.file.write_text(desk.world.file.read_text() + "\n[skils]\n")
    return ("install",)


@case
def bad_requirement_in_the_project_file(desk: Desk) -> tuple[str, ...]:
    desk.install()
    desk.edit('"^1.0.0"', '"latest"')
    return ("install",)


@case
def project_file_is_not_toml(desk: Desk) -> tuple[str, ...]:
    desk.init()
    desk.edit("[project]", "[project")
    return ("install",)


@case
def offline_registry(desk: Desk) -> tuple[str, ...]:
    return ("search", "math", "--offline", "--registry", "https://skills.example.com")


@case
def missing_registry(desk: Desk) -> tuple[str, ...]:
    return ("search", "math", "--registry", "./team-registry")


@case
def unreachable_registry(desk: Desk) -> tuple[str, ...]:
    return ("search", "math", "--registry", "http://127.0.0.1:9")


@case
def published_already_with_other_content(desk: Desk) -> tuple[str, ...]:
    desk.publish()
    return ("publish", desk.pack("acme/math", "1.0.0", "--summary", "other"))


@case
def show_unknown_skill(desk: Desk) -> tuple[str, ...]:
    desk.publish()
    return ("show", "acme/maths")


@case
def nothing_to_pack(desk: Desk) -> tuple[str, ...]:
    return ("pack", "../base", "../base", *NAMED)


@case
def pack_version_is_not_semver(desk: Desk) -> tuple[str, ...]:
    return ("pack", "../base", "../tuned", "--name", "acme/math", "--version", "1.0")


@case
def budget_too_small(desk: Desk) -> tuple[str, ...]:
    return ("pack", "../base", "../tuned", *NAMED, "--budget", "1kB")


@case
def budget_without_unit(desk: Desk) -> tuple[str, ...]:
    return ("pack", "../base", "../tuned", *NAMED, "--budget", "5")


@case
def unwritable_output(desk: Desk) -> tuple[str, ...]:
    return ("pack", "../base", "../tuned", *NAMED, "-o", "../packs/math.skillpack")


@case
def option_of_another_scheme(desk: Desk) -> tuple[str, ...]:
    return ("pack", "../base", "../tuned", *NAMED, "--scheme", "lossless", "--keep", "0.9")


@case
def weights_are_a_git_lfs_pointer(desk: Desk) -> tuple[str, ...]:
    for path in desk.base.glob("*.safetensors"):
        path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    return ("identify", "../base")


@case
def no_generation_before(desk: Desk) -> tuple[str, ...]:
    desk.init()
    return ("rollback",)


@case
def unknown_generation(desk: Desk) -> tuple[str, ...]:
    desk.install()
    return ("rollback", "9")


@case
def not_installed(desk: Desk) -> tuple[str, ...]:
    desk.install()
    return ("uninstall", "acme/maths")


@case
def required_by_another_skill(desk: Desk) -> tuple[str, ...]:
    desk.install()
    desk.run("install", desk.pack("acme/sql", "1.0.0", "--requires", "acme/math ^1"))
    return ("uninstall", "acme/math")


@case
def needless_reinstall(desk: Desk) -> tuple[str, ...]:
    desk.install()
    return ("install", "acme/math")


@case
def graft_of_a_base_that_changed(desk: Desk) -> tuple[str, ...]:
    desk.install()
    desk.change_base()
    return ("graft",)


@case
def graft_of_a_base_that_is_gone(desk: Desk) -> tuple[str, ...]:
    desk.install()
    desk.base.rename(desk.world.folder / "moved")
    return ("graft",)


@case
def graft_into_a_folder_with_other_files(desk: Desk) -> tuple[str, ...]:
    desk.install()
    (desk.world.project / "served").mkdir()
    (desk.world.project / "served" / "notes.txt").write_text("mine\n")
    return ("graft", "-o", "./served")


@case
def plan_of_another_state(desk: Desk) -> tuple[str, ...]:
    desk.init()
    desk.publish()
    planned = desk.world.run("install", "acme/math", "--dry-run", "--json")
    (desk.world.project / "plan.json").write_text(planned.out)
    desk.run("install", "acme/math")
    return ("apply", "plan.json")


@case
def advisory_is_not_osv(desk: Desk) -> tuple[str, ...]:
    (desk.world.project / "bad.json").write_text('{"id": "ACME-1"}\n')
    return ("registry", "advisory", "add", "bad.json")


@case
def json_error(desk: Desk) -> tuple[str, ...]:
    return ("list", "--json")
