"""The record of the run: parameters, hashes, how to make the page again, and its limits."""

from html import escape

from toto_core.report.markup import Json, flat, plain, section, table


def record_section(params: Json, card: Json) -> str:
    """Return every parameter and the hashes of what was judged."""
    lead = "What made this model: every parameter, and the SHA-256 of what was judged."
    groups: dict[str, list[tuple[str, str]]] = {}
    for path, value in flat(params):
        groups.setdefault(path[0], []).append((".".join(path[1:]) or path[0], value))
    body = "".join(
        f"<details><summary>{escape(name)}</summary>"
        f"{table(('parameter', 'value'), rows, caption=name)}</details>"
        for name, rows in groups.items()
    )
    config = [(name, plain(value)) for name, value in sorted((card.get("model") or {}).items())]
    if config:
        listed = table(("key", "value"), config, caption="config.json")
        body += f"<details><summary>config.json of the model</summary>{listed}</details>"
    hashes = [
        *sorted((card.get("candidate_files") or {}).items()),
        *sorted((card.get("hashes") or {}).items()),
        ("test period", card.get("snapshot")),
        ("verdict", card.get("verdict_hash")),
    ]
    listed = "".join(
        f"<div><dt>{escape(str(name))}</dt><dd><code>{escape(str(value))}</code></dd></div>"
        for name, value in hashes
    )
    return section("The record", lead, f'{body}<h3>SHA-256</h3><dl class="hashes">{listed}</dl>')


def reproduce_section() -> str:
    """Return the commands that make this page again."""
    body = (
        "<pre><code>make run                 # set up, run everything, print the verdict\n"
        "dvc repro                # run what changed since\n"
        "dvc status               # nothing to do: these outputs belong to this code and data\n"
        "dvc metrics diff HEAD~1  # what changed since the last commit\n"
        "toto promote             # after a PASS and a commit: tag it as the champion"
        "</code></pre>"
        '<p class="note">The same data, parameters, code and kind of machine give the same bytes. '
        "What varies from run to run, such as wall time and host, is on no page: see "
        "<code>runs/</code>, Prefect and W&amp;B.</p>"
    )
    return section("Make it again", "This page follows from the repository alone.", body)


def limits_section(card: Json) -> str:
    """Return what the verdict does not say."""
    limits = "".join(f"<li>{escape(str(limit))}</li>" for limit in card.get("limits") or ())
    affiliation = escape(str(card.get("affiliation") or ""))
    body = f'<ul class="prose">{limits}</ul><p class="note">{affiliation}</p>'
    return section("Limits", "What this page does not say.", body)
