"""The API's description as it is served. How it is put together: ``coalition.schema``."""

from functools import cache

from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.views import SpectacularAPIView
from rest_framework.response import Response


class DescribedOnce(SpectacularAPIView):
    """The document itself. It is the same for everybody and costs a second, so each process makes it once."""

    def _get_schema_response(self, request):
        version = self.api_version or request.version or self._get_version_parameter(request)
        return Response(
            data=the_document(),
            headers={"Content-Disposition": f'inline; filename="{self._get_filename(request, version)}"'},
        )


@cache
def the_document() -> dict:
    return SchemaGenerator().get_schema(request=None, public=True)
