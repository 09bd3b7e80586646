//! What events about the rows of one model have in common.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use indelible::{Action, Changes, Event, FieldName, Json, Kind, Redactor, Resource};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::context::Context;
use crate::event::PyEvent;
use crate::parts;
use crate::redactor::PyRedactor;
use crate::types::{Sort, Types};
use crate::values::{Expression, Unknown, prepared, whole};
use crate::walk::{Text, Walker};

const STATEMENT_IDS_MAX: usize = 1000;

/// Room made at once for the text of one value, so that few values pay for growing.
const VALUE_BYTES: usize = 128;

/// The plan of one model class: built once, used for each of its events.
#[pyclass(frozen, module = "indelible._native")]
pub(crate) struct Model {
    redactor: Arc<Redactor>,
    r#type: String,
    create: Action,
    update: Action,
    delete: Action,
    upsert: Action,
    raw_sql: Action,
    fields: Vec<Field>,
    sensitive: bool,
    /// Where the values of `fields` stand among those of all columns.
    places: Vec<usize>,
    /// Length of the last row's changes: the room that the next one's get at once.
    changes_bytes: AtomicUsize,
}

struct Field {
    name: FieldName,
    masked: bool,
    /// Whether it is the key, which the database may have yet to make.
    key: bool,
    /// What makes a column's value of one whose type is not known (see [`prepared`]).
    prepare: Option<Py<PyAny>>,
}

impl Field {
    fn prepared<'py>(&self, value: &Bound<'py, PyAny>, types: &Types) -> Option<Bound<'py, PyAny>> {
        self.prepare.as_ref().and_then(|prepare| prepared(prepare.bind(value.py()), value, types))
    }
}

/// An old or new value as far as it is known.
enum Value<'a, 'py> {
    Known(&'a Bound<'py, PyAny>),
    Unknown,
    Computed(&'a Expression),
}

impl<'a, 'py> Value<'a, 'py> {
    fn of(value: &'a Bound<'py, PyAny>, types: &Types) -> Self {
        if value.is_none() || types.exact(value).is_some() {
            Self::Known(value)
        } else if let Ok(expression) = value.cast_exact::<Expression>() {
            Self::Computed(expression.get())
        } else if value.cast_exact::<Unknown>().is_ok() {
            Self::Unknown
        } else {
            Self::Known(value)
        }
    }
}

#[pymethods]
impl Model {
    #[new]
    #[pyo3(signature = (redactor, *, r#type, noun, fields, masked, sensitive, key=None, places=None, prepare=None))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments in Python")]
    fn new(
        redactor: &Bound<'_, PyRedactor>,
        r#type: String,
        noun: &str,
        fields: Vec<String>,
        masked: Vec<bool>,
        sensitive: bool,
        key: Option<usize>,
        places: Option<Vec<usize>>,
        prepare: Option<Vec<Option<Py<PyAny>>>>,
    ) -> PyResult<Self> {
        if fields.len() != masked.len() {
            return Err(PyValueError::new_err(format!("{} fields, but {} flags of masking", fields.len(), masked.len())));
        }
        let places = places.unwrap_or_else(|| (0..fields.len()).collect());
        if fields.len() != places.len() {
            return Err(PyValueError::new_err(format!("{} fields, but {} places", fields.len(), places.len())));
        }
        let mut prepare = prepare.unwrap_or_default().into_iter();
        let redactor = redactor.get().shared();
        let field = |(index, (name, masked)): (usize, (String, bool))| Field {
            masked: masked || redactor.masks_field(&name),
            key: key == Some(index),
            name: FieldName::new(name),
            prepare: prepare.next().flatten(),
        };
        let fields = fields.into_iter().zip(masked).enumerate().map(field).collect();
        let action = |verb| Action::new(&format!("{noun}.{verb}"));
        Ok(Self {
            redactor,
            r#type,
            create: action("create"),
            update: action("update"),
            delete: action("delete"),
            upsert: action("upsert"),
            raw_sql: action("raw_sql"),
            fields,
            sensitive,
            places,
            changes_bytes: AtomicUsize::new(0),
        })
    }

    fn created(
        &self,
        context: &Bound<'_, Context>,
        pk: &Bound<'_, PyAny>,
        label: Option<&Bound<'_, PyAny>>,
        values: &Bound<'_, PyAny>,
    ) -> PyResult<PyEvent> {
        let mut changes = FieldChanges::new(self, pk.py())?;
        for (field, value) in self.fields.iter().zip(values.try_iter()?) {
            changes.created(field, &value?);
        }
        self.event(&self.create, context, Some((pk, label)), changes.changes)
    }

    fn created_row(
        &self,
        context: &Bound<'_, Context>,
        pk: &Bound<'_, PyAny>,
        label: Option<&Bound<'_, PyAny>>,
        row: &Bound<'_, PyList>,
    ) -> PyResult<PyEvent> {
        let mut changes = FieldChanges::new(self, pk.py())?;
        for (field, &place) in self.fields.iter().zip(&self.places) {
            changes.created(field, &row.get_item(place)?);
        }
        self.event(&self.create, context, Some((pk, label)), changes.changes)
    }

    fn updated(
        &self,
        context: &Bound<'_, Context>,
        pk: &Bound<'_, PyAny>,
        label: Option<&Bound<'_, PyAny>>,
        indexes: &Bound<'_, PyAny>,
        old: &Bound<'_, PyAny>,
        new: &Bound<'_, PyAny>,
    ) -> PyResult<Option<PyEvent>> {
        let mut changes = FieldChanges::new(self, pk.py())?;
        for ((index, old), new) in indexes.try_iter()?.zip(old.try_iter()?).zip(new.try_iter()?) {
            changes.updated(self.field(&index?)?, &old?, &new?);
        }
        if changes.changes.is_empty() {
            return Ok(None);
        }
        self.event(&self.update, context, Some((pk, label)), changes.changes).map(Some)
    }

    fn upserted(
        &self,
        context: &Bound<'_, Context>,
        pk: &Bound<'_, PyAny>,
        indexes: &Bound<'_, PyAny>,
        new: &Bound<'_, PyAny>,
    ) -> PyResult<PyEvent> {
        let mut changes = FieldChanges::new(self, pk.py())?;
        for (index, new) in indexes.try_iter()?.zip(new.try_iter()?) {
            changes.upserted(self.field(&index?)?, &new?);
        }
        self.event(&self.upsert, context, Some((pk, None)), changes.changes)
    }

    #[pyo3(signature = (context, *, table, verb, count, fingerprint))]
    fn raw(&self, context: &Bound<'_, Context>, table: &str, verb: &str, count: Option<u64>, fingerprint: &str) -> PyResult<PyEvent> {
        let mut changes = Changes::default();
        changes.push_statement(count, &[], None, &[]);
        let mut event = Event::of(Kind::Change, self.raw_sql.clone());
        let about = [("verb", verb), ("table", table), ("fingerprint", fingerprint)];
        context.get().apply(&mut event, about.map(|(name, value)| (format!("sql_{name}"), Json::string(value))).into());
        event.resource = Some(Resource { r#type: self.r#type.clone(), ..Resource::default() });
        event.changes = changes;
        event.sensitive = self.sensitive;
        Ok(PyEvent::new(event))
    }

    fn deleted(
        &self,
        context: &Bound<'_, Context>,
        pk: &Bound<'_, PyAny>,
        label: Option<&Bound<'_, PyAny>>,
        indexes: &Bound<'_, PyAny>,
        old: &Bound<'_, PyAny>,
    ) -> PyResult<PyEvent> {
        let mut changes = FieldChanges::new(self, pk.py())?;
        for (index, old) in indexes.try_iter()?.zip(old.try_iter()?) {
            changes.deleted(self.field(&index?)?, &old?);
        }
        self.event(&self.delete, context, Some((pk, label)), changes.changes)
    }

    fn deleted_row(
        &self,
        context: &Bound<'_, Context>,
        pk: &Bound<'_, PyAny>,
        label: Option<&Bound<'_, PyAny>>,
        row: &Bound<'_, PyAny>,
        deferred: &Bound<'_, PyAny>,
    ) -> PyResult<PyEvent> {
        let mut changes = FieldChanges::new(self, pk.py())?;
        for (field, &place) in self.fields.iter().zip(&self.places) {
            let value = row.get_item(place)?;
            if !value.is(deferred) {
                changes.deleted(field, &value);
            }
        }
        self.event(&self.delete, context, Some((pk, label)), changes.changes)
    }

    #[pyo3(signature = (context, pk, label, field, *, added=None, removed=None, exact, masked=false))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments in Python")]
    fn related(
        &self,
        context: &Bound<'_, Context>,
        pk: &Bound<'_, PyAny>,
        label: Option<&Bound<'_, PyAny>>,
        field: &str,
        added: Option<&Bound<'_, PyAny>>,
        removed: Option<&Bound<'_, PyAny>>,
        exact: bool,
        masked: bool,
    ) -> PyResult<PyEvent> {
        let ids = |ids: Option<&Bound<'_, PyAny>>| ids.map_or_else(|| Ok(Vec::new()), |ids| parts::identifiers(ids, usize::MAX));
        let mut changes = Changes::default();
        if masked || self.redactor.masks_field(field) {
            changes.push_m2m_masked(field);
        } else {
            changes.push_m2m(field, &ids(added)?, &ids(removed)?, exact);
        }
        self.event(&self.update, context, Some((pk, label)), changes)
    }

    #[pyo3(signature = (context, verb, *, count, ids, r#where, fields))]
    fn statement(
        &self,
        context: &Bound<'_, Context>,
        verb: &str,
        count: Option<u64>,
        ids: Option<&Bound<'_, PyAny>>,
        r#where: Option<Text>,
        fields: Vec<String>,
    ) -> PyResult<PyEvent> {
        let action = match verb {
            "create" => &self.create,
            "update" => &self.update,
            "delete" => &self.delete,
            "upsert" => &self.upsert,
            _ => return Err(PyValueError::new_err(format!("{verb:?} is none of create, update, delete, upsert"))),
        };
        let ids = ids.map_or_else(|| Ok(Vec::new()), |ids| parts::identifiers(ids, STATEMENT_IDS_MAX))?;
        let filter = r#where.map(|filter| self.redactor.text(&filter.0).into_owned());
        let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
        let mut changes = Changes::default();
        changes.push_statement(count, &ids, filter.as_deref(), &fields);
        self.event(action, context, None, changes)
    }
}

impl Model {
    /// Makes the events of rows that were inserted together and hands them on one by one.
    ///
    /// Each row has the values of all columns, its key at `key`. A value that is the very object of the row before is not encoded again.
    pub(crate) fn created_rows(
        &self,
        context: &Bound<'_, Context>,
        rows: &Bound<'_, PyList>,
        key: usize,
        labels: Option<&Bound<'_, PyList>>,
        mut hold: impl FnMut(Event) -> PyResult<()>,
    ) -> PyResult<()> {
        let mut changes = FieldChanges::new(self, rows.py())?;
        let mut before: Vec<Repeated> = self.fields.iter().map(|_| Repeated::default()).collect();
        for (index, row) in rows.iter().enumerate() {
            let row = row.cast_into::<PyList>()?;
            for ((field, &place), before) in self.fields.iter().zip(&self.places).zip(&mut before) {
                changes.created_again(field, row.get_item(place)?, before);
            }
            let label = labels.map(|labels| labels.get_item(index)).transpose()?.filter(|label| !label.is_none());
            hold(self.row(&self.create, context, Some((&row.get_item(key)?, label.as_ref())), changes.take())?)?;
            changes.changes = Changes::with_capacity(self.changes_bytes.load(Ordering::Relaxed));
        }
        Ok(())
    }

    fn field(&self, index: &Bound<'_, PyAny>) -> PyResult<&Field> {
        let index: usize = index.extract()?;
        self.fields.get(index).ok_or_else(|| PyValueError::new_err(format!("{} has no field {index}", self.r#type)))
    }

    fn event(
        &self,
        action: &Action,
        context: &Bound<'_, Context>,
        row: Option<(&Bound<'_, PyAny>, Option<&Bound<'_, PyAny>>)>,
        changes: Changes,
    ) -> PyResult<PyEvent> {
        self.row(action, context, row, changes).map(PyEvent::new)
    }

    fn row(
        &self,
        action: &Action,
        context: &Bound<'_, Context>,
        row: Option<(&Bound<'_, PyAny>, Option<&Bound<'_, PyAny>>)>,
        changes: Changes,
    ) -> PyResult<Event> {
        let mut resource = Resource { r#type: self.r#type.clone(), ..Resource::default() };
        if let Some((pk, label)) = row {
            resource.id = parts::identifier(pk)?;
            resource.label = label.map(|label| parts::label(&self.redactor, label)).transpose()?;
        }
        self.changes_bytes.store(changes.len(), Ordering::Relaxed);
        let mut event = Event::of(Kind::Change, action.clone());
        context.get().apply(&mut event, Vec::new());
        event.resource = Some(resource);
        event.changes = changes;
        event.sensitive = self.sensitive;
        Ok(event)
    }
}

/// The value that a field had in the row before, and its text; nothing where it could have changed in between.
#[derive(Default)]
struct Repeated<'py> {
    value: Option<Bound<'py, PyAny>>,
    text: String,
}

/// Collects the changes of one row; text is written into two buffers that are used again for each field.
struct FieldChanges<'a> {
    types: &'static Types,
    redacting: Walker<'a>,
    plain: Walker<'static>,
    old: String,
    new: String,
    changes: Changes,
}

impl<'a> FieldChanges<'a> {
    fn new(model: &'a Model, py: Python<'_>) -> PyResult<Self> {
        Ok(Self {
            types: Types::get(py)?,
            redacting: Walker::of_fields(py, &model.redactor)?,
            plain: Walker::plain(py)?,
            old: String::with_capacity(VALUE_BYTES),
            new: String::with_capacity(VALUE_BYTES),
            changes: Changes::with_capacity(model.changes_bytes.load(Ordering::Relaxed)),
        })
    }

    fn created(&mut self, field: &Field, value: &Bound<'_, PyAny>) {
        if field.masked {
            return self.changes.push_masked(field.name.as_str());
        }
        if field.key && value.is_none() {
            return self.changes.push_pending_key(field.name.as_str());
        }
        let prepared = field.prepared(value, self.types);
        let value = prepared.as_ref().unwrap_or(value);
        match Value::of(value, self.types) {
            Value::Known(value) => self.changes.push_created(&field.name, |out| self.redacting.push(value, out)),
            Value::Unknown => self.changes.push_created_unknown(field.name.as_str(), None),
            Value::Computed(expression) => self.changes.push_created_unknown(field.name.as_str(), Some(expression.as_str())),
        }
    }

    /// The same, for one of many rows that are inserted together.
    fn created_again<'py>(&mut self, field: &Field, value: Bound<'py, PyAny>, before: &mut Repeated<'py>) {
        if field.masked {
            return self.changes.push_masked(field.name.as_str());
        }
        if before.value.as_ref().is_some_and(|before| before.is(&value)) {
            return self.changes.push_created(&field.name, |out| out.push_str(&before.text));
        }
        if !self.types.exact(&value).is_some_and(Sort::compares_by_value) {
            before.value = None;
            return self.created(field, &value);
        }
        before.text.clear();
        self.redacting.push(&value, &mut before.text);
        self.changes.push_created(&field.name, |out| out.push_str(&before.text));
        before.value = Some(value);
    }

    fn take(&mut self) -> Changes {
        std::mem::take(&mut self.changes)
    }

    /// The old value is never known: nobody says whether there was one.
    fn upserted(&mut self, field: &Field, new: &Bound<'_, PyAny>) {
        if field.masked {
            return self.changes.push_masked(field.name.as_str());
        }
        self.encode_new(field.prepared(new, self.types).as_ref().unwrap_or(new));
        self.changes.push_old_unknown(field.name.as_str(), Some(&self.new));
    }

    fn deleted(&mut self, field: &Field, value: &Bound<'_, PyAny>) {
        if field.masked {
            return self.changes.push_masked(field.name.as_str());
        }
        let prepared = field.prepared(value, self.types);
        let value = prepared.as_ref().unwrap_or(value);
        match Value::of(value, self.types) {
            Value::Known(value) => self.changes.push_deleted(&field.name, |out| self.redacting.push(value, out)),
            Value::Unknown | Value::Computed(_) => self.changes.push_old_unknown(field.name.as_str(), None),
        }
    }

    fn updated(&mut self, field: &Field, old: &Bound<'_, PyAny>, new: &Bound<'_, PyAny>) {
        let prepared = [old, new].map(|value| field.prepared(value, self.types));
        let (old, new) = (prepared[0].as_ref().unwrap_or(old), prepared[1].as_ref().unwrap_or(new));
        let (old, new) = (Value::of(old, self.types), Value::of(new, self.types));
        if let (Value::Known(old), Value::Known(new)) = (&old, &new)
            && self.same(old, new)
        {
            return;
        }
        if field.masked {
            return self.changes.push_masked(field.name.as_str());
        }
        let old = match old {
            Value::Known(old) => {
                self.encode_old(old);
                Some(self.old.as_str())
            }
            Value::Unknown | Value::Computed(_) => None,
        };
        let expression = match new {
            Value::Known(new) => return self.updated_to(field, old.is_some(), new),
            Value::Unknown => None,
            Value::Computed(expression) => Some(expression.as_str()),
        };
        self.changes.push_new_unknown(field.name.as_str(), old, expression);
    }

    /// The new value is known and differs from the old one, which stands in its buffer if it is known.
    fn updated_to(&mut self, field: &Field, old_known: bool, new: &Bound<'_, PyAny>) {
        self.encode_new(new);
        if !old_known {
            self.changes.push_old_unknown(field.name.as_str(), Some(&self.new));
        } else if self.old == self.new {
            // They differ only in what is masked; that much may be said.
            self.changes.push_masked(field.name.as_str());
        } else {
            self.changes.push_values(field.name.as_str(), Some(&self.old), Some(&self.new));
        }
    }

    fn same(&mut self, old: &Bound<'_, PyAny>, new: &Bound<'_, PyAny>) -> bool {
        if old.is(new) {
            return true;
        }
        if old.get_type_ptr() == new.get_type_ptr() && self.types.exact(old).is_some_and(Sort::compares_by_value) {
            // Decimals of other precision and times of other zones can be the same value. Comparing a signalling NaN raises.
            return old.eq(new).unwrap_or(false);
        }
        self.old.clear();
        self.new.clear();
        self.plain.push(old, &mut self.old);
        self.plain.push(new, &mut self.new);
        let is_cut = self.plain.take_cut();
        self.old == self.new && whole(old, is_cut) == whole(new, is_cut)
    }

    fn encode_old(&mut self, value: &Bound<'_, PyAny>) {
        self.old.clear();
        self.redacting.push(value, &mut self.old);
    }

    fn encode_new(&mut self, value: &Bound<'_, PyAny>) {
        self.new.clear();
        self.redacting.push(value, &mut self.new);
    }
}
