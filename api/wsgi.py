"""What Granian serves: `granian --interface wsgi api.wsgi:app`."""

from api.app import create_app

app = create_app()
