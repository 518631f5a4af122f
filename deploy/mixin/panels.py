"""The panels and the frame that all dashboards share: one look, the same variables, links from each to the others."""

from collections.abc import Mapping, Sequence
from typing import Any

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders import prometheus, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.models import common, dashboard
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

SOURCE = dashboard.DataSourceRef(type_val="prometheus", uid="${datasource}")
TAG = "swarmkeeper"

STATES: Mapping[str, tuple[int, str]] = {
    "Ready": (0, "green"),
    "Progressing": (1, "blue"),
    "Degraded": (2, "orange"),
    "Blocked": (3, "red"),
    "Unknown": (4, "purple"),
}
"""State of a condition -> number of it in a state timeline, colour."""

GREEN_FROM_1 = ((None, "red"), (1.0, "green"))
RED_FROM_1 = ((None, "green"), (1.0, "red"))
NEUTRAL = ((None, "text"),)
Steps = Sequence[tuple[float | None, str]]
Shown = Mapping[str, tuple[str, str]]
"""Value -> shown text, colour."""

YES_NO: Shown = {"1": ("yes", "green"), "0": ("NO", "red")}
UP_DOWN: Shown = {"1": ("up", "green"), "0": ("DOWN", "red")}


def query(expr: str, legend: str = "", *, ref: str = "A", as_table: bool = False) -> prometheus.Dataquery:
    """Return a query. A table shows the newest values only."""
    built = prometheus.Dataquery().datasource(SOURCE).expr(expr).ref_id(ref)
    if as_table:
        return built.instant().format(PromQueryFormat.TABLE)
    return built.range().legend_format(legend)


def queries(*pairs: tuple[str, str]) -> list[Any]:
    """Return queries from (expression, legend)."""
    return [query(expr, legend, ref=chr(ord("A") + at)) for at, (expr, legend) in enumerate(pairs)]


def thresholds(steps: Steps) -> build.ThresholdsConfig:
    return (
        build.ThresholdsConfig()
        .mode(dashboard.ThresholdsMode.ABSOLUTE)
        .steps([dashboard.Threshold(value=value, color=color) for value, color in steps])
    )


def mappings(shown: Shown) -> list[dashboard.ValueMapping]:
    """Return the mappings that show values as texts in a colour."""
    return [
        dashboard.ValueMap(
            {
                value: dashboard.ValueMappingResult(text=text, color=color, index=at)
                for at, (value, (text, color)) in enumerate(shown.items())
            }
        )
    ]


def number(
    title: str,
    meaning: str,
    *pairs: tuple[str, str],
    steps: Steps = NEUTRAL,
    shown: Shown | None = None,
    width: int = 4,
) -> stat.Panel:
    """Return a panel with the newest value of each query. No value is shown as unknown, never as well."""
    panel = (
        stat.Panel()
        .title(title)
        .description(meaning)
        .datasource(SOURCE)
        .height(4)
        .span(width)
        .targets(queries(*pairs))
        .thresholds(thresholds(steps))
        .mappings(mappings(shown or {}))
        .no_value("unknown")
        .graph_mode(common.BigValueGraphMode.NONE)
        .color_mode(common.BigValueColorMode.BACKGROUND)
    )
    return panel.text_mode(
        common.BigValueTextMode.VALUE_AND_NAME if len(pairs) > 1 else common.BigValueTextMode.AUTO
    )


def lines(
    title: str, meaning: str, *pairs: tuple[str, str], unit: str = "short", width: int = 12
) -> timeseries.Panel:
    """Return a panel with lines over time."""
    return (
        timeseries.Panel()
        .title(title)
        .description(meaning)
        .datasource(SOURCE)
        .height(8)
        .span(width)
        .targets(queries(*pairs))
        .unit(unit)
        .min(0)
        .fill_opacity(8)
    )


def timeline(
    title: str, meaning: str, *pairs: tuple[str, str], shown: Shown, width: int = 24
) -> statetimeline.Panel:
    """Return a panel with one bar per series, coloured by its state over time."""
    return (
        statetimeline.Panel()
        .title(title)
        .description(meaning)
        .datasource(SOURCE)
        .height(7)
        .span(width)
        .targets(queries(*pairs))
        .mappings(mappings(shown))
        .show_value(common.VisibilityMode.NEVER)
        .merge_values(True)
    )


def cells(
    title: str,
    meaning: str,
    columns: Mapping[str, str],
    *,
    key: str,
    red: Sequence[str] = (),
    link: str = "",
    width: int = 12,
) -> table.Panel:
    """Return a table with one row per `key` and one column per query, in the order of `columns`.

    A cell of the columns in `red` is red from 1 on. `link` is the uid of the dashboard that a row links to.
    """
    panel = (
        table.Panel()
        .title(title)
        .description(meaning)
        .datasource(SOURCE)
        .height(9)
        .span(width)
        .targets([query(expr, ref=name, as_table=True) for name, expr in columns.items()])
        .with_transformation(
            dashboard.DataTransformerConfig(id_val="joinByField", options={"byField": key, "mode": "outer"})
        )
        .with_transformation(_only(key, columns))
        .no_value("?")
    )
    for name in red:
        panel = panel.override_by_name(name, _red_cell())
    return panel.override_by_name(key, _linked(key, link)) if link else panel


def rows(
    title: str,
    meaning: str,
    expr: str,
    labels: Sequence[str],
    *,
    link: tuple[str, str] | None = None,
    width: int = 12,
) -> table.Panel:
    """Return a table of the labels of the series, with the colours of the states. `link` is (label, dashboard)."""
    shown = {state: (state, color) for state, (_, color) in STATES.items()}
    hidden = {
        name: name not in labels for name in ("Time", "Value", "cluster", "__name__", "instance", "job")
    }
    panel = (
        table.Panel()
        .title(title)
        .description(meaning)
        .datasource(SOURCE)
        .height(9)
        .span(width)
        .targets([query(expr, as_table=True)])
        .with_transformation(
            dashboard.DataTransformerConfig(
                id_val="organize",
                options={
                    "excludeByName": {name: True for name, hide in hidden.items() if hide},
                    "indexByName": {name: at for at, name in enumerate(labels)},
                },
            )
        )
        .override_by_name("state", [dashboard.DynamicConfigValue("mappings", mappings(shown)), _background()])
    )
    return panel.override_by_name(link[0], _linked(*link)) if link else panel


def alert_list(width: int) -> build.Panel:
    """Return the panel of the alerts that fire in the cluster, from Prometheus' own rules."""
    return (
        build.Panel()
        .type("alertlist")
        .title("Alerts")
        .description("Firing and pending alerts of this cluster. Each links to its section of the runbook.")
        .height(9)
        .span(width)
        .options(
            {
                "viewMode": "list",
                "groupMode": "default",
                "sortOrder": 3,
                "maxItems": 50,
                "datasource": "${datasource}",
                "alertInstanceLabelFilter": '{cluster="$cluster"}',
                "stateFilter": {
                    "firing": True,
                    "pending": True,
                    "normal": False,
                    "noData": False,
                    "error": True,
                },
            }
        )
    )


def frame(uid: str, title: str, meaning: str, *variables: str) -> build.Dashboard:
    """Return a dashboard without panels; `variables` are labels that the reader chooses, beside the cluster."""
    built = (
        build.Dashboard(title)
        .uid(uid)
        .description(meaning)
        .tags([TAG])
        .refresh("30s")
        .time("now-3h", "now")
        .timezone("browser")
        .tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
        .with_variable(build.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
        .with_variable(_variable("cluster", "label_values(swarmkeeper_build_info, cluster)"))
        .annotation(_documents())
        .link(
            build.DashboardLink("Swarmkeeper")
            .type(dashboard.DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .as_dropdown(False)
            .include_vars(True)
            .keep_time(True)
        )
    )
    for name in variables:
        built = built.with_variable(_variable(name, _VALUES[name], several=True))
    return built


_VALUES = {
    "host": 'label_values(swarmkeeper_cluster_host_state{cluster="$cluster"}, name)',
    "service": 'label_values(swarmkeeper_cluster_replicas{cluster="$cluster"}, service)',
}
"""From the leader, so that a host without power can be chosen, and a service that only it ran."""


def _variable(name: str, values: str, *, several: bool = False) -> build.QueryVariable:
    built = (
        build.QueryVariable(name)
        .label(name.capitalize())
        .datasource(SOURCE)
        .query({"query": values, "refId": name})
        .refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(dashboard.VariableSort.ALPHABETICAL_ASC)
    )
    if not several:
        return built
    everything = dashboard.VariableOption(text="All", value="$__all")
    return built.multi(True).include_all(True).all_value(".*").current(everything)


def _documents() -> build.AnnotationQuery:
    """Mark each accepted document once, although every agent sees it."""
    return (
        build.AnnotationQuery()
        .name("Document accepted")
        .datasource(SOURCE)
        .enable(True)
        .icon_color("blue")
        .expr(
            'changes((max by (cluster) (swarmkeeper_intent_revision{cluster="$cluster", kind="accepted"}))[1m:15s]) > 0'
        )
    )


def _only(key: str, columns: Mapping[str, str]) -> dashboard.DataTransformerConfig:
    """Keep the key and the values, under the names of the columns."""
    values = {f"Value #{name}": name for name in columns}
    return dashboard.DataTransformerConfig(
        id_val="organize",
        options={
            "excludeByName": {each: True for at in range(len(columns)) for each in _repeated(at + 1)},
            "indexByName": {name: at for at, name in enumerate((key, *values))},
            "renameByName": values,
        },
    )


def _repeated(at: int) -> tuple[str, ...]:
    """Return the names that a join gives to the fields that every query has."""
    return ("Time", "cluster", f"Time {at}", f"cluster {at}")


def _background() -> dashboard.DynamicConfigValue:
    return dashboard.DynamicConfigValue("custom.cellOptions", {"type": "color-background", "mode": "basic"})


def _red_cell() -> list[dashboard.DynamicConfigValue]:
    steps = [{"color": "transparent", "value": None}, {"color": "red", "value": 1}]
    return [dashboard.DynamicConfigValue("thresholds", {"mode": "absolute", "steps": steps}), _background()]


def _linked(label: str, uid: str) -> list[dashboard.DynamicConfigValue]:
    variable = "host" if label == "name" else label
    url = f"/d/{uid}?var-datasource=${{datasource}}&var-cluster=$cluster&var-{variable}=${{__value.text}}"
    return [dashboard.DynamicConfigValue("links", [{"title": f"Open {variable}", "url": url}])]
