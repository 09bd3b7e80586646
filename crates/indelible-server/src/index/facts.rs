//! What a record says about each field: the one definition that terms are made from and that conditions are tested on.

use std::net::IpAddr;

use indelible_core::LeafEntry;
use indelible_core::query::words;

use super::body::{ActorView, Body, ChangeView, Raw, ResourceView, Text};
use super::term::{Field, Term};

/// Most terms of one record; with more, it is one that every condition looks at.
const TERMS_MAX: usize = 256;
/// Most fields that one record's changes are found by.
const TOUCHED_MAX: usize = 1024;
/// Most objects inside `meta` that one record is found by.
const META_OBJECTS_MAX: usize = 16;
/// Microseconds of an hour.
const HOUR: i64 = 3_600_000_000;
/// Lengths of the networks of which terms are made, of IPv4 and of IPv6.
const NETWORKS: [&[u8]; 2] = [&[8, 16, 24, 32], &[32, 48, 64, 128]];

/// A record as search sees it.
#[derive(Debug, Clone)]
pub(crate) struct Facts<'a> {
    /// What its leaf says.
    pub(crate) entry: &'a LeafEntry,
    /// What its body says.
    pub(crate) body: Body<'a>,
    /// Whether there is nothing left of the body.
    erased: bool,
}

impl<'a> Facts<'a> {
    /// Reads a record.
    pub(crate) fn read(entry: &'a LeafEntry, body: &'a [u8]) -> Self {
        Self { entry, body: Body::read(body), erased: body.is_empty() }
    }

    /// When it happened, in microseconds; a body that does not say counts from when it was recorded.
    pub(crate) fn occurred_at(&self) -> i64 {
        self.body.occurred_at().unwrap_or_else(|| self.entry.recorded_at.micros())
    }

    /// Tells every text that the record has in a field. Networks and durations are no texts, and have terms of their own.
    pub(crate) fn texts(&self, field: Field, mut found: impl FnMut(&str)) {
        let body = &self.body;
        let mut one = |text: Option<&Text<'_>>| text.iter().for_each(|text| found(text.as_str()));
        let (actor, resource, request, source) = (body.actor.as_ref(), body.resource.as_ref(), body.request.as_ref(), body.source.as_ref());
        match field {
            Field::Kind => one(body.kind.as_ref()),
            Field::Action => one(body.action.as_ref()),
            Field::Outcome => one(body.outcome.as_ref()),
            Field::Verdict => found(self.entry.verdict.as_str()),
            Field::ActorId => one(actor.and_then(|actor| actor.id.as_ref())),
            Field::ActorLabel => one(actor.and_then(|actor| actor.label.as_ref())),
            Field::ActorType => one(actor.and_then(|actor| actor.actor_type.as_ref())),
            Field::Auth => one(actor.and_then(|actor| actor.auth.as_ref())),
            Field::Session => one(actor.and_then(|actor| actor.session.as_ref())),
            Field::OnBehalf => {
                let principal = self.principal();
                one(principal.id.as_ref());
                one(principal.label.as_ref());
            }
            Field::Role => {
                let roles: Vec<Text<'_>> = actor.and_then(|actor| actor.roles).map(|roles| roles.elements()).unwrap_or_default();
                roles.iter().for_each(|role| found(role.as_str()));
            }
            Field::Type => one(resource.and_then(|resource| resource.resource_type.as_ref())),
            Field::TypeLast => self.resource_type().iter().for_each(|name| found(&last_part(name))),
            Field::Resource => self.resource().iter().for_each(|(name, id)| found(&format!("{name}/{id}"))),
            Field::ResourceLast => self.resource().iter().for_each(|(name, id)| found(&format!("{}/{id}", last_part(name)))),
            Field::Request => one(request.and_then(|request| request.id.as_ref())),
            Field::Trace => one(body.trace_id.as_ref()),
            Field::Tenant => one(body.tenant.as_ref()),
            Field::Service => one(source.and_then(|source| source.service.as_ref())),
            Field::Environment => one(source.and_then(|source| source.environment.as_ref())),
            Field::Release => one(source.and_then(|source| source.version.as_ref())),
            Field::Host => one(source.and_then(|source| source.host.as_ref())),
            Field::Status => self.status().iter().for_each(|status| found(&status.to_string())),
            Field::Method => one(request.and_then(|request| request.method.as_ref())),
            Field::Route => one(request.and_then(|request| request.route.as_ref())),
            Field::Path => one(request.and_then(|request| request.path?.text()).as_ref()),
            Field::Ip => one(request.and_then(|request| request.client_ip.as_ref())),
            Field::Agent => one(request.and_then(|request| request.user_agent?.text()).as_ref()),
            Field::Touched => self.touched(&mut found),
            Field::Received => found(&hour_of(self.entry.received_at.micros()).to_string()),
            Field::Word => self.prose(|text| words(text).for_each(|word| found(&word))),
            Field::Reason => one(body.reason.and_then(|reason| reason.text()).as_ref()),
            Field::Meta => self.meta(|name, value| found(&meta_value(name, value))),
            Field::MetaName => self.meta(|name, _| found(name)),
            Field::Is => self.is(&mut found),
            Field::Has => self.has(&mut found),
            Field::Stream => found(&hexadecimal(self.entry.stream.as_bytes())),
            Field::Network | Field::Duration => {}
        }
    }

    /// HTTP status.
    pub(crate) fn status(&self) -> Option<i64> {
        self.body.request.as_ref()?.status
    }

    /// How long the request took, in microseconds.
    pub(crate) fn duration_us(&self) -> Option<u64> {
        self.body.request.as_ref()?.duration_us
    }

    /// The address of the client.
    pub(crate) fn client_ip(&self) -> Option<IpAddr> {
        let text = self.body.request.as_ref()?.client_ip.as_ref()?;
        text.as_str().parse().ok().map(|address: IpAddr| address.to_canonical())
    }

    /// Type of what it was done to.
    pub(crate) fn resource_type(&self) -> Option<&str> {
        Some(self.body.resource.as_ref()?.resource_type.as_ref()?.as_str())
    }

    /// Type and id of what it was done to.
    pub(crate) fn resource(&self) -> Option<(&str, &str)> {
        let id = self.body.resource.as_ref()?.id.as_ref()?;
        Some((self.resource_type()?, id.as_str()))
    }

    /// The changes, of either form.
    pub(crate) fn changes(&self) -> Vec<ChangeView<'a>> {
        self.body.changes.map(|changes| changes.elements()).unwrap_or_default()
    }

    /// Tells every text that free text is looked for in: labels and reason.
    pub(crate) fn prose(&self, mut found: impl FnMut(&str)) {
        let mut one = |text: Option<&Text<'_>>| text.iter().for_each(|text| found(text.as_str()));
        one(self.body.actor.as_ref().and_then(|actor| actor.label.as_ref()));
        one(self.principal().label.as_ref());
        if let Some(resource) = &self.body.resource {
            one(resource.label.as_ref());
            let related: Vec<ResourceView<'_>> = resource.related.map(|related| related.elements()).unwrap_or_default();
            related.iter().for_each(|related| one(related.label.as_ref()));
        }
        one(self.body.reason.and_then(|reason| reason.text()).as_ref());
    }

    /// Tells name and value of every member of `meta` that is a text, a number or a truth value. A dot joins the name of an
    /// object to the names of its members.
    pub(crate) fn meta(&self, mut found: impl FnMut(&str, &str)) {
        let mut objects: Vec<(String, Raw<'_>)> = self.body.meta.map(|meta| (String::new(), meta)).into_iter().collect();
        let mut left = META_OBJECTS_MAX;
        while let Some((inside, object)) = objects.pop() {
            for (name, value) in object.members() {
                let name = if inside.is_empty() { name.as_str().to_owned() } else { format!("{inside}.{}", name.as_str()) };
                match value.scalar() {
                    Some(scalar) => found(&name, scalar.as_str()),
                    None if value.is_object() && left > 0 => {
                        left -= 1;
                        objects.push((name, value));
                    }
                    None => {}
                }
            }
        }
    }

    fn is(&self, found: &mut impl FnMut(&str)) {
        if self.changes().iter().any(|change| change.masked.is_some_and(|masked| masked.json() == "true")) {
            found("masked");
        }
        if self.body.action.as_ref().is_some_and(|action| matches!(action.as_str(), "audit.gap" | "audit.loss")) {
            found("gap");
        }
        if self.body.truncated == Some(true) {
            found("truncated");
        }
        if self.erased {
            found("erased");
        }
    }

    fn has(&self, found: &mut impl FnMut(&str)) {
        let body = &self.body;
        let request = body.request.as_ref();
        let has_body = request.is_some_and(|request| request.body.is_some() || request.response.is_some());
        let parts =
            [("diff", body.changes.is_some()), ("error", body.error.is_some()), ("body", has_body), ("notes", body.notes.is_some())];
        parts.iter().filter(|(_, is_there)| *is_there).for_each(|(part, _)| found(part));
    }

    fn principal(&self) -> ActorView<'a> {
        let principal = self.body.actor.as_ref().and_then(|actor| actor.on_behalf_of);
        principal.and_then(|principal| serde_json::from_str(principal.json()).ok()).unwrap_or_default()
    }

    fn touched(&self, found: &mut impl FnMut(&str)) {
        let mut left = TOUCHED_MAX;
        let mut tell = |name: &Text<'_>| {
            if left > 0 {
                left -= 1;
                found(name.as_str());
            }
        };
        for change in self.changes() {
            change.field.iter().for_each(&mut tell);
            let fields: Vec<Text<'_>> = change.fields.map(|fields| fields.elements()).unwrap_or_default();
            fields.iter().for_each(&mut tell);
        }
    }

    /// The terms of the record, each perhaps more than once.
    #[cfg(test)]
    pub(crate) fn terms(&self) -> Vec<Term> {
        let mut terms = Vec::with_capacity(64);
        self.each_term(|term, _, _| terms.push(term));
        terms
    }

    /// Tells the terms of the record: that it has a field without a text, else field and text beside the term.
    pub(super) fn each_term(&self, mut found: impl FnMut(Term, Field, Option<&str>)) {
        let mut count = 0;
        for &field in Field::ALL {
            let mut is_there = false;
            self.texts(field, |text| {
                is_there = true;
                // Nobody looks for a reason as a whole.
                count += usize::from(field != Field::Reason);
                if count <= TERMS_MAX && field != Field::Reason {
                    found(Term::of(field, text.as_bytes()), field, Some(text));
                }
            });
            if is_there {
                found(Term::has(field), field, None);
            }
        }
        if let Some(address) = self.client_ip() {
            found(Term::has(Field::Network), Field::Network, None);
            networks(address).for_each(|term| found(term, Field::Network, None));
        }
        if let Some(duration) = self.duration_us() {
            found(Term::has(Field::Duration), Field::Duration, None);
            found(duration_term(duration_bucket(duration)), Field::Duration, None);
        }
        if count > TERMS_MAX {
            found(Term::MORE, Field::Word, None);
        }
    }
}

/// What stands behind the last dot of a type, in lower case.
pub(crate) fn last_part(name: &str) -> String {
    name.rsplit('.').next().unwrap_or(name).to_ascii_lowercase()
}

/// A member of `meta` as a term knows it.
pub(crate) fn meta_value(name: &str, value: &str) -> String {
    format!("{name}\0{value}")
}

/// The hour that a time lies in, counted from 1970.
pub(crate) fn hour_of(micros: i64) -> i64 {
    micros.div_euclid(HOUR)
}

/// Bytes in hexadecimal digits.
fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Number of bits of a duration in microseconds.
pub(crate) fn duration_bucket(micros: u64) -> u32 {
    u64::BITS - micros.leading_zeros()
}

/// The term of the durations of one bucket.
pub(crate) fn duration_term(bucket: u32) -> Term {
    Term::of(Field::Duration, bucket.to_string().as_bytes())
}

/// The terms of the networks that an address lies in, the widest first.
pub(crate) fn networks(address: IpAddr) -> impl Iterator<Item = Term> {
    let lengths = NETWORKS[usize::from(address.is_ipv6())];
    lengths.iter().map(move |&length| network_term(address, length))
}

/// The narrowest network with a term that holds all of `address/length`, and whether it is just that one; none when even the
/// widest is narrower.
pub(crate) fn network_around(address: IpAddr, length: u8) -> Option<(Term, bool)> {
    let lengths = NETWORKS[usize::from(address.is_ipv6())];
    lengths.iter().rev().find(|known| **known <= length).map(|&known| (network_term(address, known), known == length))
}

/// Family (4 or 6), length, and the first `length` bits of the address; lengths are whole bytes.
fn network_term(address: IpAddr, length: u8) -> Term {
    let mut value = Vec::with_capacity(18);
    let bytes = usize::from(length / 8);
    match address {
        IpAddr::V4(address) => {
            value.extend_from_slice(&[4, length]);
            value.extend_from_slice(&address.octets()[..bytes]);
        }
        IpAddr::V6(address) => {
            value.extend_from_slice(&[6, length]);
            value.extend_from_slice(&address.octets()[..bytes]);
        }
    }
    Term::of(Field::Network, &value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use indelible_core::{EventId, StreamId, Timestamp, Verdict};

    pub(in crate::index) fn entry() -> LeafEntry {
        LeafEntry {
            event: EventId::from_bytes([1; 16]),
            stream: StreamId::AGENT,
            stream_index: 0,
            sequence: 0,
            item: 0,
            recorded_at: Timestamp::from_micros(5),
            received_at: Timestamp::from_micros(HOUR),
            verdict: Verdict::Recorded,
            commitment: indelible_core::commitment(&[0; 32], b""),
        }
    }

    const BODY: &[u8] = br#"{"v":1,"kind":"change","action":"patient.update","outcome":"success","occurred_at":"2026-01-01T00:00:00.000000Z",
        "actor":{"type":"user","id":"7","label":"Ana Roe","auth":"session","session":"s1","on_behalf_of":{"type":"user","id":"9","label":"Bo"},"roles":["nurse","admin"]},
        "resource":{"type":"clinic.Patient","id":"42","label":"Patient Zw\u00f6lf","related":[{"type":"x.Y","id":"1","label":"Ward 3"}]},
        "changes":[{"field":"name","old":"a","new":"b"},{"count":2,"ids":[1],"fields":["age"]},{"field":"ssn","masked":true}],
        "request":{"id":"r1","method":"POST","route":"/p/:id","path":"/p/42","status":201,"duration_us":1500,"client_ip":"10.1.2.3","user_agent":"curl"},
        "trace_id":"t1","reason":"ticket-42","tenant":"north","meta":{"ticket":"A-1","n":5,"o":{"p":true,"q":[]}},"error":{"type":"E"},
        "source":{"service":"clinic","environment":"prod","version":"1.2","host":"h1"}}"#;

    fn texts(field: Field) -> Vec<String> {
        let entry = entry();
        let mut texts = Vec::new();
        Facts::read(&entry, BODY).texts(field, |text| texts.push(text.to_owned()));
        texts
    }

    #[test]
    fn each_field_is_found_where_the_format_puts_it() {
        for (field, expected) in [
            (Field::Kind, "change"),
            (Field::Action, "patient.update"),
            (Field::Outcome, "success"),
            (Field::Verdict, "recorded"),
            (Field::ActorId, "7"),
            (Field::ActorLabel, "Ana Roe"),
            (Field::ActorType, "user"),
            (Field::Auth, "session"),
            (Field::Session, "s1"),
            (Field::OnBehalf, "9|Bo"),
            (Field::Role, "nurse|admin"),
            (Field::Type, "clinic.Patient"),
            (Field::TypeLast, "patient"),
            (Field::Resource, "clinic.Patient/42"),
            (Field::ResourceLast, "patient/42"),
            (Field::Request, "r1"),
            (Field::Trace, "t1"),
            (Field::Tenant, "north"),
            (Field::Service, "clinic"),
            (Field::Environment, "prod"),
            (Field::Release, "1.2"),
            (Field::Host, "h1"),
            (Field::Status, "201"),
            (Field::Method, "POST"),
            (Field::Route, "/p/:id"),
            (Field::Path, "/p/42"),
            (Field::Ip, "10.1.2.3"),
            (Field::Network, ""),
            (Field::Agent, "curl"),
            (Field::Touched, "name|age|ssn"),
            (Field::Duration, ""),
            (Field::Received, "1"),
            (Field::Word, "ana|roe|bo|patient|zwölf|ward|3|ticket|42"),
            (Field::Reason, "ticket-42"),
            (Field::Meta, "ticket\0A-1|n\x005|o.p\0true"),
            (Field::MetaName, "ticket|n|o.p"),
            (Field::Is, "masked"),
            (Field::Has, "diff|error"),
            (Field::Stream, "00000000000000000000000000000000"),
        ] {
            assert_eq!(texts(field).join("|"), expected, "{field:?}");
        }
    }

    #[test]
    fn networks_and_durations_have_terms() {
        let entry = entry();
        let terms = Facts::read(&entry, BODY).terms();
        let address: IpAddr = "10.1.9.9".parse().unwrap();
        let around = |length| network_around(address, length).unwrap();
        assert!(terms.contains(&around(16).0) && around(16).1);
        assert!(terms.contains(&around(20).0) && !around(20).1);
        assert!(!terms.contains(&around(24).0));
        assert_eq!(network_around(address, 7), None);
        assert!(terms.contains(&duration_term(11)) && duration_bucket(1500) == 11 && duration_bucket(0) == 0);
        assert!(terms.contains(&Term::has(Field::Network)));
    }

    #[test]
    fn a_record_of_very_many_words_is_one_that_every_condition_looks_at() {
        let entry = entry();
        let words: Vec<String> = (0..TERMS_MAX).map(|number| format!("w{number}")).collect();
        let body = format!(r#"{{"kind":"read","reason":"{}"}}"#, words.join(" "));
        let terms = Facts::read(&entry, body.as_bytes()).terms();
        assert!(terms.contains(&Term::MORE) && terms.len() < TERMS_MAX + Field::ALL.len() + 1);
        assert!(!Facts::read(&entry, BODY).terms().contains(&Term::MORE));
    }
}
