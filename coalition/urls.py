"""Which app answers where."""

from django.contrib import admin
from django.urls import include, path

from coalition import history_views, ogc, operation_views, people_views, token_views, views, webhook_views
from coalition.api_urls import COLLECTIONS
from coalition.imports import views as imports

job_urls = [
    path("", views.job_list, name="list"),
    path("<uuid:job_id>/", views.job_detail, name="detail"),
    path("<uuid:job_id>/cancel/", views.job_cancel, name="cancel"),
    path("<uuid:job_id>/retry/", views.job_retry, name="retry"),
]

import_urls = [
    path("", imports.batch_list, name="list"),
    path("new/", imports.new, name="new"),
    path("<int:batch_id>/", imports.detail, name="detail"),
    path("<int:batch_id>/map/", imports.map_columns, name="map"),
    path("<int:batch_id>/approve/", imports.approve, name="approve"),
    path("<int:batch_id>/try/", imports.try_again, name="try"),
    path("<int:batch_id>/cancel/", imports.cancel, name="cancel"),
    path("<int:batch_id>/undo/", imports.undo, name="undo"),
    path("<int:batch_id>/rejected.csv", imports.rejected, name="rejected"),
]

operation_urls = [
    path("", operation_views.listing, name="list"),
    path("new/", operation_views.new, name="new"),
    path("<slug:code>/edit/", operation_views.edit, name="edit"),
]

people_urls = [
    path("", people_views.person_list, name="list"),
    path("<int:pk>/deactivate/", people_views.deactivate, name="deactivate"),
    path("<int:pk>/reactivate/", people_views.reactivate, name="reactivate"),
    path("invitations/<int:pk>/revoke/", people_views.invitation_revoke, name="revoke"),
]

token_urls = [
    path("", token_views.token_list, name="list"),
    path("<str:key>/revoke/", token_views.token_revoke, name="revoke"),
]

history_urls = [
    path("", history_views.page, name="page"),
    path("check/", history_views.check, name="check"),
    path("checkpoints/<str:day>.json", history_views.checkpoint, name="checkpoint"),
]

webhook_urls = [
    path("", webhook_views.webhook_list, name="list"),
    path("new/", webhook_views.new, name="new"),
    path("<uuid:pk>/", webhook_views.detail, name="detail"),
    path("<uuid:pk>/pause/", webhook_views.pause, name="pause"),
    path("<uuid:pk>/resume/", webhook_views.resume, name="resume"),
    path("<uuid:pk>/test/", webhook_views.send_test, name="test"),
    path("<uuid:pk>/delete/", webhook_views.delete, name="delete"),
    path("<uuid:pk>/deliveries/<uuid:delivery_id>/replay/", webhook_views.replay, name="replay"),
]

urlpatterns = [
    path("", views.overview, name="overview"),
    path("", include("pledges.urls")),
    path("", include("monitoring.urls")),
    path("setup/", views.setup, name="setup"),
    path("setup/vocabulary/", views.load_vocabulary, name="load-vocabulary"),
    path("operations/", include((operation_urls, "operations"))),
    path("people/", include((people_urls, "people"))),
    path("imports/", include((import_urls, "imports"))),
    path("jobs/", include((job_urls, "jobs"))),
    path("history/", include((history_urls, "history"))),
    path("webhooks/", include((webhook_urls, "webhooks"))),
    path("accounts/tokens/", include((token_urls, "tokens"))),
    path("accounts/invitation/<str:secret>/", people_views.accept, name="invitation"),
    path("accounts/", include("allauth.urls")),
    path("admin/", admin.site.urls),
    path("api/v1/", include("coalition.api_urls")),
    path("ogc/", include((ogc.urls_of(COLLECTIONS), "ogc"))),
]

handler400 = "coalition.refusals.bad_request"
handler403 = "coalition.refusals.permission_denied"
handler404 = "coalition.refusals.not_found"
handler500 = "coalition.refusals.server_error"
