"""A small clinic: patients, appointments and prescriptions, by API and admin, with an audit trail."""
