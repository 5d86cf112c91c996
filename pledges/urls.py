"""Where the pages of pledges, requirements and readiness answer. Reads like the site map."""

from django.urls import include, path

from pledges.views import capabilities, conditions, nations, plan, pledges, readiness, suggesting, what_if

pledge_urls = [
    path("", pledges.board, name="board"),
    path("table/", pledges.table, name="table"),
    path("new/", pledges.new, name="new"),
    path("confirm/", pledges.confirm, name="confirm"),
    path("<int:pledge_id>/", pledges.detail, name="detail"),
    path("<int:pledge_id>/edit/", pledges.edit, name="edit"),
    path("<int:pledge_id>/supersede/", pledges.supersede, name="supersede"),
    path("<int:pledge_id>/undo/", pledges.undo, name="undo"),
    path("<int:pledge_id>/allocate/", pledges.allocate, name="allocate"),
    path("<int:pledge_id>/step/<slug:name>/", pledges.step, name="step"),
]
requirement_urls = [
    path("", plan.requirements, name="list"),
    path("new/", plan.new_requirement, name="new"),
    path("<int:requirement_id>/", plan.requirement, name="detail"),
    path("<int:requirement_id>/edit/", plan.edit_requirement, name="edit"),
    path("<int:requirement_id>/delete/", plan.delete_requirement, name="delete"),
    path("<int:requirement_id>/accept/<int:pledge_id>/", plan.accept, name="accept"),
]
allocation_urls = [
    path("", plan.allocations, name="list"),
    path("<int:allocation_id>/release/", plan.release, name="release"),
]
capability_urls = [
    path("", capabilities.listing, name="list"),
    path("<slug:code>/", capabilities.detail, name="detail"),
]
nation_urls = [
    path("", nations.listing, name="list"),
    path("<slug:code>/", nations.detail, name="detail"),
    path("<slug:code>/edit/", nations.edit, name="edit"),
]
condition_urls = [
    path("", conditions.listing, name="list"),
    path("new/", conditions.new, name="new"),
    path("<int:condition_id>/", conditions.detail, name="detail"),
    path("<int:condition_id>/edit/", conditions.edit, name="edit"),
]
readiness_urls = [
    path("", readiness.matrix, name="matrix"),
    path("nations/", readiness.nations, name="nations"),
    path("age/", readiness.age, name="age"),
    path("suggest/", suggesting.page, name="suggest"),
    path("gaps/", readiness.gap_paper, name="gaps"),
    path("cliffs/", readiness.cliff_list, name="cliffs"),
    path("cliffs/calendar.ics", readiness.cliff_calendar, name="cliff_calendar"),
    path("method/", readiness.method, name="method"),
    path("<slug:code>/", readiness.capability, name="capability"),
    path("<slug:code>/data.csv", readiness.capability_data, name="capability_data"),
]
what_if_urls = [
    path("", what_if.page, name="page"),
    path("effects/", what_if.effects, name="effects"),
    path("compare/", what_if.side_by_side, name="compare"),
    path("save/", what_if.save, name="save"),
    path("<int:scenario_id>/forget/", what_if.forget, name="forget"),
]

urlpatterns = [
    path("pledges/", include((pledge_urls, "pledges"))),
    path("requirements/", include((requirement_urls, "requirements"))),
    path("allocations/", include((allocation_urls, "allocations"))),
    path("capabilities/", include((capability_urls, "capabilities"))),
    path("nations/", include((nation_urls, "nations"))),
    path("conditions/", include((condition_urls, "conditions"))),
    path("readiness/what-if/", include((what_if_urls, "what_if"))),
    path("readiness/", include((readiness_urls, "readiness"))),
]
