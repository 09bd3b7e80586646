//! A stored body as search sees it: the members that can be searched, borrowed from the bytes.
//!
//! Index and evaluator read bodies through this one view, so they cannot disagree about what an event says.

use std::borrow::Cow;
use std::fmt;

use indelible_core::Timestamp;
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Most elements of an array, and members of an object, that are searched; what is behind them is not found.
pub(crate) const ELEMENTS_MAX: usize = 256;

/// A text, borrowed where the JSON has no escapes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Text<'a>(Cow<'a, str>);

impl Text<'_> {
    /// The text.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Owned(text.to_owned())))
    }
}

/// A member whose form is looked at when it is asked for: a marker may stand in its place (docs/format.md, "Truncation").
#[derive(Debug, Clone, Copy)]
pub(crate) struct Raw<'a>(&'a RawValue);

impl<'a> Raw<'a> {
    /// The member where it is a text.
    pub(crate) fn text(self) -> Option<Text<'a>> {
        serde_json::from_str(self.0.get()).ok()
    }

    /// The member where it is a text, a number, `true` or `false`: what somebody can write behind a colon.
    pub(crate) fn scalar(self) -> Option<Text<'a>> {
        let json = self.0.get();
        match json.as_bytes().first()? {
            b'"' => self.text(),
            b'{' | b'[' | b'n' => None,
            _ => Some(Text(Cow::Borrowed(json))),
        }
    }

    /// Whether it is an object.
    pub(crate) fn is_object(self) -> bool {
        self.0.get().starts_with('{')
    }

    /// The JSON text.
    pub(crate) fn json(self) -> &'a str {
        self.0.get()
    }

    /// The elements, where it is an array; at most [`ELEMENTS_MAX`].
    pub(crate) fn elements<T: Deserialize<'a>>(self) -> Vec<T> {
        let elements: Vec<Raw<'a>> = serde_json::from_str(self.0.get()).unwrap_or_default();
        elements.into_iter().take(ELEMENTS_MAX).filter_map(|element| serde_json::from_str(element.json()).ok()).collect()
    }

    /// The members, where it is an object without two of one name; at most [`ELEMENTS_MAX`].
    pub(crate) fn members(self) -> Vec<(Text<'a>, Raw<'a>)> {
        serde_json::from_str::<Members<'a>>(self.0.get()).map_or_else(|_| Vec::new(), |members| members.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Raw<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&'a RawValue>::deserialize(deserializer).map(Raw)
    }
}

struct Members<'a>(Vec<(Text<'a>, Raw<'a>)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;
        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members: Vec<(Text<'de>, Raw<'de>)> = Vec::new();
                while let Some(name) = map.next_key::<Text<'de>>()? {
                    let value = map.next_value()?;
                    if members.len() < ELEMENTS_MAX {
                        if members.iter().any(|(earlier, _)| *earlier == name) {
                            return Err(A::Error::custom("two members of one name"));
                        }
                        members.push((name, value));
                    }
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(MembersVisitor)
    }
}

/// Declares views of JSON objects: members that are asked for, each at most once; the others are passed over. An object with
/// two members of one name, or a member of another type, is no such object.
macro_rules! views {
    ($($(#[$doc:meta])* $view:ident { $($(#[$field_doc:meta])* $field:ident $name:literal: $type:ty,)+ })+) => {$(
        $(#[$doc])*
        #[derive(Debug, Default, Clone)]
        pub(crate) struct $view<'a> {
            $($(#[$field_doc])* pub(crate) $field: Option<$type>,)+
        }

        impl<'de: 'a, 'a> Deserialize<'de> for $view<'a> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct ViewVisitor;
                impl<'de> Visitor<'de> for ViewVisitor {
                    type Value = $view<'de>;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str("an object")
                    }

                    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<$view<'de>, A::Error> {
                        type Fields<'a> = $view<'a>;
                        let mut view = Fields::default();
                        while let Some(name) = map.next_key::<Text<'de>>()? {
                            match name.as_str() {
                                $($name => {
                                    if view.$field.is_some() {
                                        return Err(A::Error::duplicate_field($name));
                                    }
                                    view.$field = Some(map.next_value()?);
                                })+
                                _ => {
                                    map.next_value::<IgnoredAny>()?;
                                }
                            }
                        }
                        Ok(view)
                    }
                }
                deserializer.deserialize_map(ViewVisitor)
            }
        }
    )+};
}

views! {
    /// The members of an event that can be searched (docs/format.md, "Body").
    Body {
        kind "kind": Text<'a>,
        action "action": Text<'a>,
        outcome "outcome": Text<'a>,
        occurred_at "occurred_at": Text<'a>,
        actor "actor": ActorView<'a>,
        resource "resource": ResourceView<'a>,
        changes "changes": Raw<'a>,
        request "request": RequestView<'a>,
        trace_id "trace_id": Text<'a>,
        reason "reason": Raw<'a>,
        tenant "tenant": Text<'a>,
        meta "meta": Raw<'a>,
        source "source": SourceView<'a>,
        error "error": Raw<'a>,
        notes "notes": Raw<'a>,
        truncated "truncated": bool,
    }
    /// `actor`, and the one on whose behalf it acted.
    ActorView {
        actor_type "type": Text<'a>,
        id "id": Text<'a>,
        label "label": Text<'a>,
        auth "auth": Text<'a>,
        session "session": Text<'a>,
        on_behalf_of "on_behalf_of": Raw<'a>,
        roles "roles": Raw<'a>,
    }
    /// `resource`, and those that are related to it.
    ResourceView {
        resource_type "type": Text<'a>,
        id "id": Text<'a>,
        label "label": Text<'a>,
        related "related": Raw<'a>,
    }
    /// `request`.
    RequestView {
        id "id": Text<'a>,
        method "method": Text<'a>,
        route "route": Text<'a>,
        path "path": Raw<'a>,
        status "status": i64,
        duration_us "duration_us": u64,
        client_ip "client_ip": Text<'a>,
        user_agent "user_agent": Raw<'a>,
        body "body": Raw<'a>,
        response "response": Raw<'a>,
    }
    /// `source`.
    SourceView {
        service "service": Text<'a>,
        environment "environment": Text<'a>,
        version "version": Text<'a>,
        host "host": Text<'a>,
    }
    /// One element of `changes`, of either form.
    ChangeView {
        field "field": Text<'a>,
        old "old": Raw<'a>,
        new "new": Raw<'a>,
        added "added": Raw<'a>,
        removed "removed": Raw<'a>,
        fields "fields": Raw<'a>,
        masked "masked": Raw<'a>,
    }
}

impl<'a> Body<'a> {
    /// Reads a body. Bytes that are not an event of ours give a view without members: such a record is in the trail, but no
    /// condition on a field finds it.
    pub(crate) fn read(bytes: &'a [u8]) -> Self {
        serde_json::from_slice(bytes).unwrap_or_default()
    }

    /// When it happened, in microseconds, as the body says.
    pub(crate) fn occurred_at(&self) -> Option<i64> {
        let text = self.occurred_at.as_ref()?;
        text.as_str().parse::<Timestamp>().ok().map(Timestamp::micros)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_read_by_name_and_escapes_are_resolved() {
        let body = Body::read(
            br#"{"kind":"ch\u0061nge","occurred_at":"1970-01-01T00:00:01.000000Z","actor":{"type":"user","id":"7","roles":["a","b"]},
                "request":{"id":"r1","status":201,"path":{"truncated":true}},"meta":{"ticket":"A-1","n":1.50,"o":{}},"x":[[]]}"#,
        );
        assert_eq!(body.kind.as_ref().map(Text::as_str), Some("change"));
        assert_eq!(body.occurred_at(), Some(1_000_000));
        let request = body.request.unwrap();
        assert_eq!(request.status, Some(201));
        assert!(request.path.unwrap().text().is_none(), "a marker is no path");
        let roles: Vec<Text<'_>> = body.actor.unwrap().roles.unwrap().elements();
        assert_eq!(roles.iter().map(Text::as_str).collect::<Vec<_>>(), ["a", "b"]);
        let meta = body.meta.unwrap().members();
        let scalars: Vec<_> =
            meta.iter().map(|(name, value)| (name.as_str(), value.scalar().map(|text| text.as_str().to_owned()))).collect();
        assert_eq!(scalars, [("ticket", Some("A-1".into())), ("n", Some("1.50".into())), ("o", None)]);
    }

    #[test]
    fn a_body_that_is_no_event_has_no_members() {
        let deep = [b"{\"meta\":".to_vec(), vec![b'['; 100_000], vec![b']'; 100_000], b",\"kind\":\"read\"}".to_vec()].concat();
        let twice = br#"{"kind":"read","kind":"read"}"#.to_vec();
        let twice_inside = br#"{"kind":"read","actor":{"id":"7","id":"7"}}"#.to_vec();
        let positions = br#"["read","patient.read","success"]"#.to_vec();
        let position_inside = br#"{"kind":"read","actor":["user","7"]}"#.to_vec();
        let other_type = br#"{"kind":"read","request":{"status":"200"}}"#.to_vec();
        for body in
            [b"".to_vec(), b"{".to_vec(), b"[1]".to_vec(), b"\xff".to_vec(), twice, twice_inside, positions, position_inside, other_type]
        {
            assert!(Body::read(&body).kind.is_none(), "{}", String::from_utf8_lossy(&body));
        }
        // What is nested deeply is not read, and costs no stack.
        let view = Body::read(&deep);
        assert!(view.meta.is_none_or(|meta| meta.members().is_empty()));
    }

    #[test]
    fn an_object_with_two_members_of_one_name_has_no_members() {
        let body = Body::read(br#"{"meta":{"a":"1","a":"2"}}"#);
        assert!(body.meta.unwrap().members().is_empty());
    }
}
