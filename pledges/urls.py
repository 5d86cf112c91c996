"""Where the pages of pledges, requirements and readiness answer. Reads like the site map."""

from django.urls import include, path

from pledges.views import pledges

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

urlpatterns = [
    path("pledges/", include((pledge_urls, "pledges"))),
]
