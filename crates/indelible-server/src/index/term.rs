//! What a record can be found by: a field and a value, as a number of 40 bits.

/// Declares the fields with their codes on disk, their names, and whether a run lists their values.
macro_rules! fields {
    ($($(#[$doc:meta])* $field:ident = $code:literal, $name:literal, $listed:literal;)+) => {
        /// A part of a record that terms are made of.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub(crate) enum Field {
            $($(#[$doc])* $field,)+
        }

        impl Field {
            /// Every field.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$field),+];

            /// The number that stands for it in terms; never used again for another field.
            pub(crate) const fn code(self) -> u8 {
                match self { $(Self::$field => $code),+ }
            }

            /// Its name in docs/format.md.
            #[cfg(test)]
            pub(crate) const fn as_str(self) -> &'static str {
                match self { $(Self::$field => $name),+ }
            }

            /// Whether a run lists the values of this field, for beginnings of texts and for the most frequent ones.
            pub(crate) const fn is_listed(self) -> bool {
                match self { $(Self::$field => $listed),+ }
            }
        }
    };
}

fields! {
    /// `kind`
    Kind = 1, "kind", true;
    /// `action`
    Action = 2, "action", true;
    /// `outcome`
    Outcome = 3, "outcome", true;
    /// The verdict of the leaf.
    Verdict = 4, "verdict", true;
    /// `actor.id`
    ActorId = 5, "actor.id", true;
    /// `actor.label`
    ActorLabel = 6, "actor.label", true;
    /// `actor.type`
    ActorType = 7, "actor.type", true;
    /// `actor.auth`
    Auth = 8, "auth", true;
    /// `actor.session`
    Session = 9, "session", false;
    /// Id and label of `actor.on_behalf_of`.
    OnBehalf = 10, "onbehalf", true;
    /// Each of `actor.roles`.
    Role = 11, "role", true;
    /// `resource.type`
    Type = 12, "type", true;
    /// What stands behind the last dot of `resource.type`, in lower case (ASCII).
    TypeLast = 13, "type.last", false;
    /// `resource.type`, a slash, `resource.id`.
    Resource = 14, "resource", true;
    /// As [`Field::TypeLast`], a slash, `resource.id`.
    ResourceLast = 15, "resource.last", false;
    /// `request.id`
    Request = 16, "request", false;
    /// `trace_id`
    Trace = 17, "trace", false;
    /// `tenant`
    Tenant = 18, "tenant", true;
    /// `source.service`
    Service = 19, "service", true;
    /// `source.environment`
    Environment = 20, "environment", true;
    /// `source.version`
    Release = 21, "release", true;
    /// `source.host`
    Host = 22, "host", true;
    /// `request.status`, in decimal.
    Status = 23, "status", true;
    /// `request.method`
    Method = 24, "method", true;
    /// `request.route`
    Route = 25, "route", true;
    /// `request.path`
    Path = 26, "path", true;
    /// `request.client_ip`, as written.
    Ip = 27, "ip", false;
    /// The networks that `request.client_ip` lies in; see [`super::facts::networks`].
    Network = 28, "network", false;
    /// `request.user_agent`
    Agent = 29, "agent", true;
    /// Each field that `changes` touches.
    Touched = 30, "field", true;
    /// The number of bits of `request.duration_us`; see [`super::duration_bucket`].
    Duration = 31, "duration", false;
    /// The hour in which the record was received, counted from 1970, in decimal.
    Received = 32, "received", true;
    /// Each word of the labels and of `reason`, in lower case.
    Word = 33, "word", false;
    /// `reason`; a record has it or not, and its words are terms of [`Field::Word`].
    Reason = 34, "reason", false;
    /// Each member of `meta` that is a text, number or truth value: name, U+0000, value. Names of members inside others are
    /// joined by dots.
    Meta = 35, "meta", false;
    /// The name of each of these members.
    MetaName = 36, "meta.name", true;
    /// What is true of the record: `masked`, `gap`, `truncated`.
    Is = 37, "is", true;
    /// What the record has: `diff`, `error`, `body`, `notes`.
    Has = 38, "has", true;
    /// The stream of the leaf, 32 hexadecimal digits.
    Stream = 39, "stream", true;
}

/// A field and a value, as the index knows them.
///
/// Values are hashed, so two may share a term: an index finds every record that has the value, and perhaps a few more. The
/// terms of [`Term::has`], [`Term::unlisted`] and [`Term::MORE`] are numbers below 256, which no value has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Term(u64);

impl Term {
    /// Bits of a term.
    const BITS: u32 = 40;
    /// First term of a value.
    const FIRST: u64 = 256;
    /// The record has more terms than are kept of one record, so each condition must look at it.
    pub(crate) const MORE: Self = Self(0);

    /// The term of a value.
    pub(crate) fn of(field: Field, value: &[u8]) -> Self {
        // FNV-1a, and then the last step of MurmurHash3, since the high bits of FNV hardly know the last bytes.
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for byte in std::iter::once(&field.code()).chain(value) {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        hash = (hash ^ hash >> 33).wrapping_mul(0xff51_afd7_ed55_8ccd);
        hash = (hash ^ hash >> 33).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        hash ^= hash >> 33;
        Self((hash >> (u64::BITS - Self::BITS)).max(Self::FIRST))
    }

    /// The term of all records that have the field.
    pub(crate) const fn has(field: Field) -> Self {
        Self(field.code() as u64)
    }

    /// The term of the first leaf of a run that does not list the values of a field which are too many or too long.
    pub(crate) const fn unlisted(field: Field) -> Self {
        Self(128 + field.code() as u64)
    }

    /// The number.
    pub(crate) const fn get(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn codes_and_names_belong_to_one_field_each() {
        let codes: HashSet<_> = Field::ALL.iter().map(|field| field.code()).collect();
        let names: HashSet<_> = Field::ALL.iter().map(|field| field.as_str()).collect();
        assert_eq!((codes.len(), names.len()), (Field::ALL.len(), Field::ALL.len()));
        assert!(
            codes.iter().all(|code| (1..128).contains(code)),
            "0 is the term of records with too many terms, and there are two for each field"
        );
    }

    /// The numbers are those of docs/format.md; another number would make every index on disk miss records.
    #[test]
    fn a_term_is_the_same_number_for_ever() {
        let numbers = [(Field::Kind, "change"), (Field::ActorId, "7"), (Field::ActorId, "8"), (Field::Request, "")]
            .map(|(field, value)| Term::of(field, value.as_bytes()).get());
        assert_eq!(numbers, [358_073_959_615, 437_402_474_576, 582_226_258_703, 903_487_272_395]);
        assert_eq!(Term::has(Field::Kind).get(), 1);
    }

    #[test]
    fn every_field_is_in_the_format() {
        let format = include_str!("../../../../docs/format.md");
        for field in Field::ALL {
            let listed = if field.is_listed() { "yes" } else { "" };
            let row = format!("| {} | `{}` | {listed} |", field.code(), field.as_str()).replace("|  |", "| |");
            assert!(format.contains(&row), "{row}");
        }
    }

    #[test]
    fn values_that_differ_in_their_last_letter_are_spread_over_all_terms() {
        let terms: Vec<u64> = (0..100_000).map(|number| Term::of(Field::Request, format!("request-{number}").as_bytes()).get()).collect();
        assert!(terms.iter().all(|term| (256..1 << 40).contains(term)));
        assert_eq!(terms.iter().collect::<HashSet<_>>().len(), terms.len());
        let low = terms.iter().filter(|term| **term < 1 << 39).count();
        assert!((49_000..51_000).contains(&low), "{low}");
    }
}
