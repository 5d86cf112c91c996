"""Which app answers where."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("accounts/", include("allauth.urls")),
    path("admin/", admin.site.urls),
    path("api/v1/", include("coalition.api_urls")),
]

handler400 = "coalition.refusals.bad_request"
handler403 = "coalition.refusals.permission_denied"
handler404 = "coalition.refusals.not_found"
handler500 = "coalition.refusals.server_error"
