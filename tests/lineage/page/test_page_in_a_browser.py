"""The lineage page, looked at in a real browser: what is drawn, what a click and a key do.

Nothing may be asked of the network, and no error may stand on the console (``conftest.py``). Skipped where no Chromium
is installed (``browser.py`` says so).
"""

from __future__ import annotations

from itertools import combinations

from column_closure import above, below
from synthetic import synthetic_graph

from lineage.graph import Graph
from lineage.names import Dataset, Field
from lineage.paths import short_name
from lineage.reduce import reduce

SMALL, LARGE = synthetic_graph(10), synthetic_graph(200)
SMALLEST_TEXT = 7.5
"""Pixels: the smallest type that can still be read, at 1600 × 1000."""


def edges(graph: Graph) -> int:
    return len({(a, b) for a in graph.datasets for b in graph.downstream(a)})


def called(graph: Graph, name: str) -> Dataset:
    return next(each for each in graph.datasets if short_name(each) == name)


def test_every_dataset_and_every_edge_is_drawn(opened):
    for graph in (SMALL, LARGE):
        page = opened(graph)
        labels = page.all("g.node", "it.getAttribute('aria-label').split(',')[0]")
        assert sorted(labels) == sorted(short_name(each) for each in graph.datasets)
        assert len(page.all("g.edge")) == edges(graph)


def test_two_hundred_tables_are_readable_at_once(opened):
    page = opened(LARGE)
    scale = page.eval("lineage.camera.k")
    assert scale * 13.5 >= SMALLEST_TEXT
    boxes = page.all("g.node .box", "(({x, y, width, height}) => [x, y, x + width, y + height])(it.getBBox())")
    overlapping = [
        (a, b) for a, b in combinations(boxes, 2) if a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
    ]
    assert overlapping == []
    too_long = page.all(
        "g.node",
        "[it.querySelector('.name').textContent, it.querySelector('.name').getBBox().width, Number(it.dataset.width)]",
    )
    assert [name for name, text, box in too_long if text > box - 20] == []
    inside = page.eval(
        "(() => {const c = document.getElementById('canvas').getBoundingClientRect(); "
        "return [...document.querySelectorAll('g.node')].every((n) => "
        "{const r = n.getBoundingClientRect(); return r.left >= c.left && r.right <= c.right && r.top >= c.top "
        "&& r.bottom <= c.bottom})})()"
    )
    assert inside is True


def test_sources_are_told_apart_by_their_folder_where_only_a_part_of_the_name_fits(opened):
    page = opened(LARGE)
    drawn = page.all(
        "g.node.layer-source", "[it.getAttribute('aria-label').split(',')[0], it.querySelector('.name').textContent]"
    )
    assert len(drawn) == 32
    shown = {}
    for label, name in drawn:
        _, domain, folder, _ = label.split("/")
        assert name.startswith(folder[:4]), label
        shown.setdefault(domain, set()).add(name)
    assert {domain: len(names) for domain, names in shown.items()} == dict.fromkeys(shown, 4)
    long = page.eval("lineage.shorten('raw/x/pressures_and_temperatures/*.parquet', 120)")
    assert long.startswith("p")
    assert "…" in long
    assert long.endswith("tures/*")


def test_one_failed_check_is_not_told_as_several(opened):
    page = opened(LARGE)
    failed = [sum(not check.passed for check in node.assertions) for node in LARGE.datasets.values()]
    assert sorted(filter(None, failed)) == [1] * 4
    assert page.all("#details small.bad") == [" 1 failed check"] * 4


def test_a_click_opens_a_table_and_shows_its_whole_lineage(opened):
    page = opened(SMALL)
    page.click("g.node[aria-label^='int_bioreactor_orders']")
    page.until("document.querySelector('#details h2')?.textContent === 'int_bioreactor_orders'")
    node = SMALL.datasets[called(SMALL, "int_bioreactor_orders")]
    text = page.eval("document.getElementById('details').textContent")
    assert node.description in text
    assert "bioreactor@example.com" in text
    assert f"{node.volume.rows:,}" in text
    assert "select *" in text
    assert page.all("#details .columns tbody tr td:first-child button") == [column.name for column in node.columns]
    up = {node.id}
    for _ in range(9):
        up |= {above for each in up for above in SMALL.upstream(each)}
    down = {node.id}
    for _ in range(9):
        down |= {below for each in down for below in SMALL.downstream(each)}
    lit = page.all("g.node.lit", "it.getAttribute('aria-label').split(',')[0]")
    assert sorted(lit) == sorted(short_name(each) for each in up | down)


def test_a_click_on_a_column_shows_it_through_all_layers(opened):
    page = opened(LARGE, "dataset=mart_commerce_orders")
    mart = called(LARGE, "mart_commerce_orders")
    column = LARGE.datasets[mart].columns[0].name
    page.click(f"#details button.column[data-column='{column}']")
    page.until("document.querySelector('g.column.chosen')")
    page.drawn()
    here = Field(mart, column)
    expected = {here, *above(LARGE, here), *below(LARGE, here)}
    assert len(expected) > 4
    drawn = page.all("g.column", "it.getAttribute('aria-label')")
    assert sorted(drawn) == sorted(f"Column {each.column} of {short_name(each.dataset)}" for each in expected)
    between = [edge for edge in LARGE.columns if edge.source in expected and edge.target in expected]
    assert len(page.all("g.edge")) == len(between)
    listed = page.all("#details .trace button")
    assert sorted(listed) == sorted(f"{short_name(each.dataset)}.{each.column}" for each in expected - {here})


def test_an_address_opens_a_column(opened):
    page = opened(SMALL, "dataset=stg_bioreactor__orders&column=batch_id")
    assert page.all("g.column.chosen", "it.dataset.column") == ["batch_id"]
    assert page.eval("document.title") == "stg_bioreactor__orders – lineage"


def test_an_address_of_nothing_says_so(opened):
    page = opened(SMALL, "dataset=nothing_like_it")
    assert page.eval("document.getElementById('note').textContent") == "No dataset is called nothing_like_it."


def test_search_finds_tables_and_columns(opened):
    page = opened(LARGE)
    page.key("/")
    page.type("fct_finance")
    page.until("document.querySelectorAll('#list .item').length === 4")
    assert len(page.all("g.node.lit")) == 4
    page.key("Enter")
    page.until("document.querySelector('#details h2')?.textContent.startsWith('fct_finance')")


def test_a_hidden_layer_leaves_edges_that_lead_through_it(opened):
    page = opened(SMALL)
    page.click("[data-filter='layer:intermediate']")
    page.until("!document.querySelector('g.node[aria-label^=int_]') && document.body.dataset.ready === 'yes'")
    hidden = {dataset for dataset, node in SMALL.datasets.items() if node.layer == "intermediate"}
    assert len(page.all("g.node")) == len(SMALL.datasets) - len(hidden)
    stg, fct = (
        page.eval(f"lineage.findDataset('{name}')") for name in ("stg_bioreactor__orders", "fct_bioreactor_orders")
    )
    assert len(page.all(f"g.edge[data-from='{stg}'][data-to='{fct}']")) == 1


def test_everything_can_be_reached_by_keys(opened):
    page = opened(SMALL)
    page.eval("document.querySelector('g.node[tabindex=\"0\"]').focus()")
    page.eval("lineage.nodeOf(lineage.findDataset('stg_bioreactor__orders')).focus()")
    page.key("ArrowRight")
    focused = "document.activeElement.getAttribute('aria-label').split(',')[0]"
    assert page.eval(focused) == "int_bioreactor_orders"
    page.key("ArrowLeft")
    page.key("ArrowLeft")
    assert page.eval(focused).startswith(("raw/bioreactor/orders", "stg_bioreactor"))
    page.key("Enter")
    page.until("document.querySelector('#details h2')?.textContent.includes('bioreactor')")
    page.key("f")
    page.until("document.getElementById('only').getAttribute('aria-pressed') === 'true'")
    page.key("Escape")
    page.key("Escape")
    page.until("location.hash === ''")


def test_two_keys_in_one_moment_both_count(opened):
    page = opened(SMALL, "dataset=stg_bioreactor__orders&only=1")
    escape = "document.dispatchEvent(new KeyboardEvent('keydown', {key: 'Escape'}))"
    assert page.eval(f"{escape}; {escape}; location.hash") == ""
    page.until("document.body.dataset.ready === 'yes' && !document.body.dataset.chosen")
    assert len(page.all("g.node")) == len(SMALL.datasets)


def test_a_failed_run_shows_its_state_its_error_and_what_was_not_reached(opened):
    page = opened(LARGE)
    failed = next(job for job in LARGE.jobs.values() if job.latest and job.latest.state == "FAILED")
    (output,) = failed.outputs
    assert len(page.all("g.node.state-FAILED")) == sum(
        1 for job in LARGE.jobs.values() if job.latest and job.latest.state == "FAILED"
    )
    page.eval(f"lineage.choose(lineage.findDataset('{short_name(output)}'))")
    page.until("document.querySelector('#details .error')")
    assert failed.latest is not None
    assert page.eval("document.querySelector('#details .error pre').textContent") == failed.latest.error


HOSTILE = (
    "</script><script>window.hacked=1</script><img src=x onerror='window.hacked=1'> \u2028 {{data}} é漢 \\u003c &lt;"
)


def test_texts_of_others_are_text_and_nothing_else(opened):
    """A name, description, owner, error, SQL or check may hold anything; nothing of it is taken for HTML or script."""
    dataset = {
        "namespace": "duckdb://lakehouse",
        "name": f"lakehouse.curated.x{HOSTILE}",
        "facets": {
            "documentation": {"description": HOSTILE},
            "ownership": {"owners": [{"name": HOSTILE}]},
            "schema": {"fields": [{"name": HOSTILE, "type": HOSTILE, "description": HOSTILE}]},
            "dataQualityAssertions": {"assertions": [{"assertion": HOSTILE, "success": False, "column": HOSTILE}]},
            "lakehouse": {"layer": HOSTILE, "domain": HOSTILE, "kind": HOSTILE},
        },
    }
    other = {"namespace": "file", "name": '/raw/a"b', "facets": {"lakehouse": {"layer": "raw", "domain": "o"}}}
    run = {"runId": "0190c1a0-0000-7000-8000-000000000000", "facets": {"errorMessage": {"message": HOSTILE}}}
    run["facets"]["lakehouse_dagster"] = {"url": "javascript:window.hacked=1", "run_id": "x"}
    job = {"namespace": "lakehouse", "name": HOSTILE, "facets": {"sql": {"query": HOSTILE}}}
    end = {"eventTime": "2026-01-05T11:00:00Z", "run": run, "job": job, "inputs": [other], "outputs": [dataset]}
    graph = reduce([{**end, "eventType": "COMPLETE"}, {**end, "eventType": "FAIL"}])
    page = opened(graph)
    page.eval(f"lineage.choose({[each.name for each in sorted(graph.datasets)].index(dataset['name'])})")
    page.until("document.querySelector('#details .error')")
    page.drawn()
    assert page.eval("window.hacked === undefined") is True
    assert page.eval("document.querySelector('#details .description').textContent") == HOSTILE
    assert page.eval("document.querySelector('#details .error pre').textContent") == HOSTILE
    assert page.eval("document.querySelector('#details pre.sql').textContent") == HOSTILE
    assert page.all("#details button.column") == [HOSTILE]
    assert page.all("#details img, #details script, #details a") == []
    page.click("#details button.column")
    page.until("location.hash.includes('column')")
    page.drawn()
    assert page.eval("window.hacked === undefined") is True
