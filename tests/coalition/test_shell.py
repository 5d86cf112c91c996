"""The shell around every page, and the parts that pages are made of."""

import re
from types import SimpleNamespace

import pytest
from django import forms
from django.core.paginator import Paginator
from django.template.loader import render_to_string
from django.test import RequestFactory


def part(name: str, address: str = "/", /, **context) -> str:
    return render_to_string(name, context, request=RequestFactory().get(address))


@pytest.mark.parametrize("page", ["400.html", "500.html"])
def test_a_failure_page_needs_neither_request_nor_person(page):
    text = render_to_string(page)
    assert "Go to the overview" in text
    assert 'id="nav"' not in text


def test_the_chosen_theme_comes_with_the_page():
    request = RequestFactory().get("/")
    request.COOKIES["theme"] = "dark"
    assert '<html lang="en" data-bs-theme="dark">' in render_to_string("404.html", request=request)


def test_a_forged_theme_is_ignored():
    request = RequestFactory().get("/")
    request.COOKIES["theme"] = '"><b>x'
    assert '<html lang="en">' in render_to_string("404.html", request=request)


def test_a_stranger_sees_no_navigation():
    assert 'id="nav"' not in part("404.html")


def test_the_navigation_leaves_out_pages_that_do_not_exist():
    assert part("_nav_item.html", href="", name="x:y", label="Nowhere", icon="map").strip().count("<li>") == 0


def test_the_navigation_keeps_the_operation():
    text = part("_nav_item.html", "/?operation=7&page=3", href="/nations/", name="n", label="Nations", icon="nations")
    assert 'href="/nations/?operation=7"' in text


class Said(str):
    level_tag = "error"


def test_a_message_is_text_not_markup_and_an_error_is_read_out_at_once():
    text = part("_messages.html", messages=[Said("<b>No</b>")])
    assert "&lt;b&gt;No&lt;/b&gt;" in text
    assert 'role="alert"' in text


def test_a_sort_link_turns_round_keeps_the_filters_and_goes_back_to_the_first_page():
    text = part(
        "_sort_header.html", "/?nation=FR&page=3&sort=quantity", key="quantity", label="Quantity", sort="quantity"
    )
    assert 'aria-sort="ascending"' in text
    link = re.search(r'href="([^"]+)"', text)[1].replace("&amp;", "&")
    assert link == "?nation=FR&sort=-quantity"


def test_a_page_of_many_says_where_it_is_and_keeps_the_filters():
    text = part("_pagination.html", "/?nation=FR&page=2", page=Paginator(range(1200), 50).page(2), noun="pledges")
    assert "51–100 of 1\u202f200 pledges" in text
    assert 'href="?nation=FR&amp;page=3"' in text


def test_an_empty_list_has_no_pager():
    assert "<nav" not in part("_pagination.html", page=Paginator([], 50).page(1))


class Offer(forms.Form):
    notice = forms.IntegerField(help_text="In days.", min_value=0)
    conditions = forms.MultipleChoiceField(choices=[("a", "A")], widget=forms.CheckboxSelectMultiple)


def test_help_and_errors_are_tied_to_their_control():
    text = part("_form_fields.html", form=Offer({"notice": "-1"}))
    described = re.search(r'<input[^>]*aria-describedby="([^"]+)"', text)[1].split()
    assert described == ["id_notice_helptext", "id_notice_error"]
    assert all(f'id="{name}"' in text for name in described)
    assert '<a href="#id_notice">' in text, "the summary leads to the field"
    assert "<legend>" in text, "ticks are a group with a name"


def test_a_clean_form_shows_no_summary():
    assert "form-errors" not in part("_form_fields.html", form=Offer())


def test_a_share_of_nothing_is_not_drawn():
    text = part("_share.html", share=None)
    assert "n/a" in text
    assert "<meter" not in text


def test_old_figures_say_that_they_are_stale():
    assert "stale" in part("_as_of.html", as_of=None, stale=True)
    assert "Not computed yet" in part("_as_of.html", as_of=None)


def test_a_nation_without_a_shipped_flag_still_has_its_name():
    text = part("_nation.html", nation=SimpleNamespace(code="ZZ", name="Nowhere"))
    assert "Nowhere" in text
    assert "<img" not in text


def test_a_flag_is_shown_beside_its_nation():
    assert "vendor/flags/fr" in part("_nation.html", nation=SimpleNamespace(code="FR", name="France"))


def test_both_versions_stand_side_by_side_and_the_difference_is_marked():
    rows = [
        {"label": "Quantity", "now": 300, "yours": 350, "differs": True},
        {"label": "Caveats", "now": None, "yours": None, "differs": False},
    ]
    text = part("412.html", rows=rows, changed_by="a planner")
    assert text.count('class="differs"') == 1
    assert "Changed by a planner" in text


def test_the_export_menu_asks_for_exactly_the_rows_of_the_page():
    text = part(
        "_export_menu.html", "/pledges/table/?nation=FR&page=2&sort=what", api_url="/api/v1/pledges/", rows=["a", "b"]
    )
    assert 'href="/api/v1/pledges/?nation=FR&amp;format=csv"' in text
