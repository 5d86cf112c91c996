"""The kernel's nouns in the admin. Behind the same login, second factor included."""

from allauth.account.decorators import secure_admin_login
from django.contrib import admin

admin.site.login = secure_admin_login(admin.site.login)
