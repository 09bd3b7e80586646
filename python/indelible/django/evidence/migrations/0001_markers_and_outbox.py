"""Makes the tables of markers and of the outbox."""

from django.db import migrations, models


class Migration(migrations.Migration):
    """Makes both: which of them is written is a setting, and a setting changes without a migration."""

    initial = True

    operations = [
        migrations.CreateModel(
            name="Marker",
            fields=[
                ("id", models.UUIDField(editable=False, primary_key=True, serialize=False)),
                ("state", models.SmallIntegerField()),
                ("stream", models.UUIDField()),
                ("sequence", models.BigIntegerField()),
                ("journal", models.UUIDField(null=True)),
                ("created_at", models.DateTimeField()),
            ],
            options={"verbose_name": "marker", "db_table": "indelible_marker", "default_permissions": ()},
        ),
        migrations.CreateModel(
            name="Outbox",
            fields=[
                ("id", models.UUIDField(editable=False, primary_key=True, serialize=False)),
                ("payload", models.BinaryField()),
                ("stream", models.UUIDField(null=True)),
                ("sequence", models.BigIntegerField(null=True)),
                ("journal", models.UUIDField(null=True)),
                ("created_at", models.DateTimeField()),
            ],
            options={"verbose_name": "outbox row", "db_table": "indelible_outbox", "default_permissions": ()},
        ),
    ]
