//! What the name of a member says about its value, remembered while a text is read: the objects of a list have the same names.

use super::Redactor;

/// Names that are remembered at once. A name that falls on the place of another takes it.
const PLACES: usize = 32;

/// What a member is to the object that it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Its value is masked.
    Sensitive,
    /// Its value is the name of something of which another member holds the value.
    Name,
    /// Its value is that of something named by an earlier member; one that stands before its name is not recognised.
    Value,
    Other,
}

impl Role {
    /// The role of a name as it stands between its quotes that is not sensitive itself.
    pub(super) fn of(name: &str) -> Self {
        match name {
            "name" | "key" | "field" | "header" | "path" => Self::Name,
            "value" | "old" | "new" | "old_value" | "new_value" => Self::Value,
            _ => Self::Other,
        }
    }
}

/// The names that were seen last in a text, with their roles.
pub(super) struct Seen<'t>([Option<(&'t str, Role)>; PLACES]);

impl<'t> Seen<'t> {
    pub(super) const fn new() -> Self {
        Self([None; PLACES])
    }

    pub(super) fn role(&self, name: &str) -> Option<Role> {
        self.0[place(name)].and_then(|(seen, role)| (seen == name).then_some(role))
    }

    pub(super) fn remember(&mut self, name: &'t str, role: Role) {
        self.0[place(name)] = Some((name, role));
    }
}

/// Length, first and last letter tell most names of an object apart.
fn place(name: &str) -> usize {
    let name = name.as_bytes();
    let (first, last) = (name.first().copied().unwrap_or(0), name.last().copied().unwrap_or(0));
    (name.len() * 7 + usize::from(first) * 3 + usize::from(last)) % PLACES
}

/// The names that an object gave to its values. They are looked at when a value comes, which is rare.
#[derive(Default)]
pub(super) struct Named<'t> {
    last: Option<&'t str>,
    is_secret: bool,
}

impl<'t> Named<'t> {
    pub(super) fn push(&mut self, name: &'t str, redactor: &Redactor) {
        if let Some(before) = self.last.replace(name) {
            self.is_secret |= redactor.masks_field(before);
        }
    }

    /// Whether any of them is sensitive.
    pub(super) fn is_secret(&mut self, redactor: &Redactor) -> bool {
        if let Some(last) = self.last.take() {
            self.is_secret |= redactor.masks_field(last);
        }
        self.is_secret
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_share_a_place_do_not_share_a_role() {
        let mut seen = Seen::new();
        // Same length, same first and last letter.
        seen.remember("pin", Role::Sensitive);
        assert_eq!(place("pan"), place("pin"));
        assert_eq!(seen.role("pan"), None);
        seen.remember("pan", Role::Other);
        assert_eq!((seen.role("pan"), seen.role("pin")), (Some(Role::Other), None));
    }

    #[test]
    fn every_name_of_an_object_counts() {
        let redactor = Redactor::default();
        let mut named = Named::default();
        assert!(!named.is_secret(&redactor));
        named.push("password", &redactor);
        named.push("colour", &redactor);
        assert!(named.is_secret(&redactor));
        named.push("colour", &redactor);
        assert!(named.is_secret(&redactor));
    }
}
