"""What Granian serves: `granian --interface wsgi api.wsgi:app`."""

import gc

from api.app import create_app
from models.key_ring import named_source

named_source()  # without key-encryption keys there is nothing to start: nobody could sign in
app = create_app()

# What is loaded by now stays as long as the process. The collector of cycles would look through it
# every 3,000 requests or so, and nobody is answered meanwhile (150,000 objects: 0.1 s).
gc.collect()
gc.freeze()
