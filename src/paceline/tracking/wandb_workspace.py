"""The process that turns a dashboard into a W&B workspace, so that nothing else on a login node imports its packages.

Reads one line of JSON, ``{definition, save, before}``, and answers with one: ``{view}``, what would be sent, or
``{saved}``, where it is. The definition is :func:`paceline.tracking.dashboard.define`'s. Its tables are logged to a run
of the dashboard's own, because W&B's charts read runs; charts that W&B does not have are presets of its custom charts,
in Vega-Lite. GPU use is in W&B's own panels for the machine, which it makes by itself below ours.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from paceline.store.files import digest
from paceline.tracking.wandb_key import WANDB_DISCREET
from paceline.tracking.wandb_upload import Stopped, answering, connect, stopped

# W&B draws no more runs at a time than a reader tells apart, and asks for each.
MOST_RUNS = 100
FULL_WIDTH, HALF = 24, 12

_DATA: dict[str, Any] = {"$schema": "https://vega.github.io/schema/vega-lite/v5.json", "data": {"name": "wandb"}}
# In the order of the sweep, not of the alphabet.
_MODEL, _PROMPT, _METHOD = (
    {"field": f"${{field:{name}}}", "type": "nominal", "title": None, "sort": None}
    for name in ("model", "prompt", "method")
)
# Light enough for a number on it.
_SHADES = {"range": ["#f7fbff", "#6baed6"]}
_VALUE = {"field": "${field:value}", "type": "quantitative"}
CHARTS: dict[str, dict[str, Any]] = {
    "heat map": {
        **_DATA,
        "title": "${string:title}",
        "facet": {"column": _METHOD},
        "spec": {
            "width": {"step": 60},
            "height": {"step": 30},
            "encoding": {"x": _PROMPT, "y": _MODEL},
            "layer": [
                {"mark": "rect", "encoding": {"color": {**_VALUE, "title": None, "scale": _SHADES}}},
                {"mark": {"type": "text", "fontSize": 10}, "encoding": {"text": {**_VALUE, "format": ".3~g"}}},
            ],
        },
    },
    "intervals": {
        **_DATA,
        "title": "${string:title}",
        "facet": {"row": _MODEL},
        "spec": {
            "encoding": {"y": _PROMPT, "yOffset": _METHOD, "color": _METHOD},
            "layer": [
                {
                    "mark": "rule",
                    "encoding": {
                        "x": {"field": "${field:low}", "type": "quantitative", "title": "${string:title}"},
                        "x2": {"field": "${field:high}"},
                    },
                },
                {
                    "mark": {"type": "point", "filled": True, "size": 60},
                    "encoding": {
                        "x": _VALUE,
                        "shape": {"field": "${field:weights}", "type": "nominal"},
                        "tooltip": [{"field": f"${{field:{name}}}"} for name in ("cell", "value", "low", "high")],
                    },
                },
            ],
        },
    },
}


def main() -> None:
    """Answer the request on stdin."""
    answering(_work)


def _work(request: dict[str, Any], folder: Path, answers: TextIO) -> None:
    try:
        import wandb_workspaces  # noqa: F401
    except ImportError:
        raise Stopped("missing", "the package wandb-workspaces") from None
    definition = request["definition"]
    if not request["save"]:
        view = workspace(definition, definition["entity"] or "ENTITY")
        answers.write(json.dumps({"view": view._to_model().model_dump(by_alias=True, exclude_none=True)}) + "\n")
        return
    api = connect()
    try:
        answers.write(json.dumps({"saved": _save(api, definition, request["before"], folder)}) + "\n")
    except Exception as error:
        raise stopped(error) from error


def chart_name(kind: str) -> str:
    """The name of a preset, which changes with what it draws: presets that were saved before stay as they are."""
    return f"paceline-{kind.replace(' ', '-')}-{digest(CHARTS[kind], 8)}"


def workspace(definition: Mapping[str, Any], entity: str) -> Any:
    """The definition as a workspace of the package wandb-workspaces."""
    import wandb_workspaces.reports.v2 as wr
    import wandb_workspaces.workspaces as ws
    from wandb_workspaces import expr

    def panel(one: Mapping[str, Any], number: int) -> Any:
        half = wr.Layout(x=HALF * (number % 2), y=8 * (number // 2), w=HALF, h=8)
        match one["kind"]:
            case "heat map" | "intervals":
                metric = one["metric"]
                fields = {name: name for name in ("cell", "model", "prompt", "method", "weights")}
                fields |= {"value": metric, "low": f"{metric}_low", "high": f"{metric}_high"}
                return wr.CustomChart(
                    query={"summaryTable": {"tableKey": one["table"]}},
                    chart_name=f"{entity}/{chart_name(one['kind'])}",
                    chart_fields=fields,
                    chart_strings={"title": one["title"]},
                    layout=half,
                )
            case "bars":
                return wr.BarPlot(
                    title=one["title"],
                    metrics=[wr.SummaryMetric(one["key"])],
                    groupby=wr.Config(one["by"]),
                    groupby_aggfunc="mean",
                    groupby_rangefunc="minmax",
                    max_runs_to_show=MOST_RUNS,
                    layout=half,
                )
            case "scatter":
                x, y = wr.SummaryMetric(one["x"]), wr.SummaryMetric(one["y"])
                return wr.ScatterPlot(title=one["title"], x=x, y=y, layout=half)
            case "lines":
                return wr.LinePlot(title=one["title"], x="Step", y=one["keys"], max_runs_to_show=MOST_RUNS, layout=half)
            case "media":
                return wr.MediaBrowser(title=one["title"], media_keys=one["keys"], num_columns=2, layout=half)
            case "table":
                layout = wr.Layout(x=0, y=8 * number, w=FULL_WIDTH, h=10)
                return wr.WeavePanelSummaryTable(table_name=one["key"], layout=layout)
            case "text":
                return wr.MarkdownPanel(markdown=one["text"], layout=half)
        raise ValueError(f"no panel of the kind {one['kind']}")

    in_group = expr.Metric("Group") == definition["sweep"]
    others = definition["others"]
    return ws.Workspace(
        entity=entity,
        project=definition["project"],
        name=definition["title"],
        sections=[
            ws.Section(
                name=section["name"],
                panels=[panel(one, number) for number, one in enumerate(section["panels"])],
                is_open=True,
                pinned=True,
            )
            for section in definition["sections"]
        ],
        settings=ws.WorkspaceSettings(max_runs=min(max(10, definition["cells"]), MOST_RUNS)),
        runset_settings=ws.RunsetSettings(
            filters=expr.Or(in_group, expr.Config("cell").isin(others)) if others else [in_group],
            pinned_columns=["summary:cause", "summary:attempts", "summary:cost/gpu_hours", "config:method.name"],
        ),
        auto_generate_panels=True,
    )


def _save(api: Any, definition: Mapping[str, Any], before: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    import wandb

    entity = definition["entity"] or api.default_entity
    charts = {chart_name(kind): kind for kind in CHARTS}
    for name in charts.keys() - set(before.get("charts", [])):
        kind = charts[name]
        try:
            api.create_custom_chart(entity, name, f"paceline {kind}", "vega2", "private", CHARTS[kind])
        except Exception as error:
            if "exist" not in str(error).lower():  # it was made for another sweep
                raise
    run_id = before.get("run_id") or secrets.token_hex(8)
    run = wandb.init(
        id=run_id,
        entity=entity,
        project=definition["project"],
        name=f"{definition['sweep']} (report)",
        group=definition["sweep"],
        job_type="report",
        dir=str(folder),
        resume="allow",
        settings=wandb.Settings(**WANDB_DISCREET, x_disable_stats=True),
    )
    run.log({key: wandb.Table(columns=t["columns"], data=t["rows"]) for key, t in definition["tables"].items()})
    run.finish()
    view = workspace(definition, entity)
    view._internal_name, view._internal_id = before.get("view", ""), before.get("view_id", "")
    view.save()
    kept = {"run_id": run_id, "view": view._internal_name, "view_id": view._internal_id, "url": view.url}
    return {**kept, "charts": sorted(charts)}


if __name__ == "__main__":
    main()
