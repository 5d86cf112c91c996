"""Which app answers where."""

from django.contrib import admin
from django.urls import include, path

from coalition import views

job_urls = [
    path("", views.job_list, name="list"),
    path("<uuid:job_id>/", views.job_detail, name="detail"),
    path("<uuid:job_id>/cancel/", views.job_cancel, name="cancel"),
]

urlpatterns = [
    path("", views.overview, name="overview"),
    path("", include("pledges.urls")),
    path("jobs/", include((job_urls, "jobs"))),
    path("accounts/", include("allauth.urls")),
    path("admin/", admin.site.urls),
    path("api/v1/", include("coalition.api_urls")),
]

handler400 = "coalition.refusals.bad_request"
handler403 = "coalition.refusals.permission_denied"
handler404 = "coalition.refusals.not_found"
handler500 = "coalition.refusals.server_error"
