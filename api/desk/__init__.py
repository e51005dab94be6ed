"""The desk behind the doors ``/operator/`` and ``/admin/``: plain pages, each button the command of the admin API (P9)."""
