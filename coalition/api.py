"""What all viewsets share; one error shape."""

from rest_framework.views import exception_handler


def error_response(exc, context):
    return exception_handler(exc, context)
