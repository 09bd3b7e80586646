//! Where a secret begins and ends, to the byte: a case for every condition that decides it, with the whole text that comes out.

use indelible_core::{Detectors, Redactor};

const BYTES_MAX: usize = 1 << 20;

fn text_becomes(cases: &[(&str, &str)]) {
    let redactor = Redactor::default();
    for &(text, expected) in cases {
        assert_eq!(redactor.text(text), expected, "{text}");
    }
}

fn text_stays(texts: &[&str]) {
    text_becomes(&texts.iter().map(|&text| (text, text)).collect::<Vec<_>>());
}

fn json_becomes(cases: &[(&str, &str)]) {
    let redactor = Redactor::default();
    for &(json, expected) in cases {
        assert_eq!(redactor.json(json.as_bytes(), BYTES_MAX).as_str(), expected, "{json}");
    }
}

#[test]
fn tokens_end_where_their_letters_do() {
    text_becomes(&[
        ("ghp_16C7e42F292c6912E7710c.tar.gz", "[masked].tar.gz"),
        ("ghp_16C7e42F292c6912E7710c now", "[masked] now"),
        // A dot belongs to a token of SendGrid, but not at its end.
        ("key SG.aaaaaaaaaaaaaaaaaaaaaa.11111111111111111111111. Bye", "key [masked]. Bye"),
    ]);
    text_stays(&[
        // Part of a longer word; long enough, without a digit; with a digit, not long enough.
        "task_live_4eC39HqLyjWDarjtT1",
        "see sk-learn-contributors-guide-book",
        "ghp_1",
    ]);
}

#[test]
fn numbers_that_no_double_holds_become_text() {
    let long = "7".repeat(309);
    json_becomes(&[
        ("[4E1111111, 12]", r#"["4E1111111",12]"#),
        (r#"{"n": -1.5e+309}"#, r#"{"n":"-1.5e+309"}"#),
        (&long, &format!("\"{long}\"")),
        // The largest and the smallest double, and what is taken for 0.
        ("[1.7976931348623157e308, 5e-324, 1e-999]", "[1.7976931348623157e308,5e-324,1e-999]"),
        (&long[1..], &long[1..]),
    ]);
}

#[test]
fn web_tokens_have_two_to_four_dots() {
    text_becomes(&[
        ("eyJhbGciOiJub25lIn0.a.b.c.d.then", "[masked].then"),
        // Cut off in the second part.
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIi", "[masked]"),
    ]);
    text_stays(&["eyJhbGciOiJIUzI1NiJ9.txt"]);
}

#[test]
fn cards_of_every_issuer_and_length_are_found() {
    let redactor = Redactor::default();
    for card in ["4000000000000000006", "4111111111111111110", "2200000000000004", "9792000000000003", "8100000000000002"] {
        assert_eq!(redactor.text(&format!("card {card}.")), "card [masked].", "{card}");
    }
    // Fifteen digits with a wrong last one.
    text_stays(&["378282246310006"]);
}

#[test]
fn cards_are_told_from_the_numbers_around_them() {
    text_becomes(&[
        ("10.125 4111111111111111", "10.125 [masked]"),
        ("4111111111111111 12 4111111111111111", "[masked] 12 [masked]"),
        // Beside a UUID, not in it.
        ("4111111111111111 f81d4fae-7dec-11d0-a765-00a0c91e6bf6", "[masked] f81d4fae-7dec-11d0-a765-00a0c91e6bf6"),
        ("4111111111111111 is not f81d4fae-7dec-11d0-a765-00a0c91e6bf6", "[masked] is not f81d4fae-7dec-11d0-a765-00a0c91e6bf6"),
        ("4111111111111111abcdefab-7dec-11d0-a765-00a0c91e6bf6", "[masked]abcdefab-7dec-11d0-a765-00a0c91e6bf6"),
        ("f81d4fae-7dec-11d0-a765-abcdefabcdef4111111111111111", "f81d4fae-7dec-11d0-a765-abcdefabcdef[masked]"),
    ]);
    text_stays(&[
        // Groups of twelve and four.
        "411111111111.1111",
        // A SHA-1 with letters on both sides.
        "abcdefabcdef4111111111111111abcdefabcdef",
    ]);
}

#[test]
fn phone_numbers_are_no_cards() {
    text_stays(&["+378282246310005", "call +378282246310005"]);
    text_becomes(&[
        // A sum, a country code of four digits, none.
        ("a+378282246310005", "a+[masked]"),
        ("ref +1234 4012 8888 8888 1881", "ref +1234 [masked]"),
        ("+411 1111111111111", "+[masked]"),
    ]);
}

#[test]
fn options_are_words_of_their_own() {
    text_becomes(&[
        ("['--token', 'x y']", "['--token', '[masked]']"),
        ("'--token', 'x y'", "'--token', '[masked]'"),
        ("--pin 1 2", "--pin [masked] 2"),
    ]);
    text_stays(&["a--pin 1234 b", "(see --token), then x"]);
}

#[test]
fn elements_lose_what_is_between_the_blanks() {
    text_becomes(&[("<pin>\n  1 2\n</pin>", "<pin>\n  [masked]\n</pin>"), ("<token><![CDATA[a b]]>", "<token><![CDATA[[masked]]]>")]);
}

#[test]
fn parts_of_a_form_say_their_name() {
    text_becomes(&[("name=\"access\"\n\n1234", "name=\"access\"\n\n[masked]"), ("name=\"pin\"\n\n12 34", "name=\"pin\"\n\n[masked]")]);
    text_stays(&["value=\"pin\"\n\n1234"]);
    let part = |header_bytes: usize| format!("name=\"pin\"{}\n\n1234", ";".repeat(header_bytes - 2));
    text_becomes(&[(&part(256), &part(256).replace("1234", "[masked]"))]);
    text_stays(&[&part(257)]);
}

#[test]
fn names_before_a_separator_end_at_what_is_no_letter() {
    text_becomes(&[
        ("a%3D1%26access%3D2%26b", "a%3D1%26access%3D[masked]%26b"),
        // A text that was printed with its escapes; `C:\token` is none.
        (r"'user: ana\npin: 1234, x'", r"'user: ana\npin: [masked], x'"),
        (r"a\tpin=1234 b", r"a\tpin=[masked] b"),
        (r"a\rssn=1234 b", r"a\rssn=[masked] b"),
        (r"C:\token=1234 b", r"C:\token=[masked] b"),
    ]);
    // Without the letter that the cut goes through it says something about a password.
    let is_password = format!("is_{}_password", "x".repeat(511 - "is__password".len()));
    text_stays(&[&format!("é{is_password}=1"), r"a\xpin=1234 b", "spin=1234 b"]);
    text_becomes(&[(&format!("é{}=1", &is_password[3..]), &format!("é{}=[masked]", &is_password[3..]))]);
}

#[test]
fn values_end_where_their_quotes_and_brackets_do() {
    text_becomes(&[
        (r#""pin": \["1", "2"], x"#, r#""pin": [masked], x"#),
        (r#""pin": {"a": "}", "b": 1}, "c": 2"#, r#""pin": [masked], "c": 2"#),
        (r#"{\"pin\":\"12\",\"a\":\"b\"}"#, r#"{\"pin\":\"[masked]\",\"a\":\"b\"}"#),
        (r#""pin":"1\\", "a":"b""#, r#""pin":"[masked]", "a":"b""#),
        (r#""pin":"1\", 2", "a":"b""#, r#""pin":"[masked]", "a":"b""#),
        (r"[('pin', ['1\']', '2']), ('a', 1)]", "[('pin', [masked]), ('a', 1)]"),
        (r"[('pin', ['1\\', ']']), ('a', 1)]", "[('pin', [masked]), ('a', 1)]"),
        ("pin%3A%2012%26a", "pin%3A%20[masked]%26a"),
        ("pin=%2012", "pin=[masked]"),
        // As long as the name of a scheme.
        ("pin=12345 abc", "pin=[masked] abc"),
        ("token=token abc d", "token=[masked] d"),
    ]);
    // Masked as data before, up to a bracket.
    text_stays(&["(password: [masked]], x", "password: [masked]"]);
}

#[test]
fn stored_passwords_begin_with_their_algorithm() {
    text_becomes(&[
        ("was pbkdf2_sha256$870000$salt$aHVudGVyMmNhbmFyeQ= now", "was [masked] now"),
        ("was $scrypt$saltsaltsalt$digestdigest now", "was [masked] now"),
    ]);
    text_stays(&["cost$100$200$abcdefghijklmnop"]);
}

#[test]
fn labels_of_keys_have_eighty_bytes() {
    let key = |label_bytes: usize| format!("-----BEGIN{} PRIVATE KEY-----\nx", "A".repeat(label_bytes - " PRIVATE KEY".len()));
    text_becomes(&[(&key(80), "[masked]")]);
    text_stays(&[&key(81)]);
}

#[test]
fn passwords_in_urls_end_at_the_first_at_sign_beyond() {
    text_becomes(&[
        ("postgres://ana:pw/x@db/@y", "postgres://ana:[masked]@db/@y"),
        ("postgres://ana:123456/7@db", "postgres://ana:[masked]@db"),
        (&format!("x://a:pw/{}@h", "y".repeat(254)), "x://a:[masked]@h"),
    ]);
    text_stays(&[&format!("x://a:pw/{}@h", "y".repeat(255)), "see http://host:port/ or write to ana@host", "<http://host:port/>@ana"]);
}

#[test]
fn parameters_without_a_value_and_codes_without_a_grant_stay() {
    let redactor = Redactor::default();
    for form in ["password=&a=1", "password=[masked]", "code=1234AB&city=x"] {
        assert!(matches!(redactor.form(form), std::borrow::Cow::Borrowed(_)), "{form}");
    }
    assert_eq!(redactor.form("code=1234AB&state=x"), "code=[masked]&state=x");
}

#[test]
fn strings_of_json_are_prose_unless_they_are_json() {
    json_becomes(&[
        (r#"{"log":"password: must be at least 8 characters"}"#, r#"{"log":"password: [masked] be at least 8 characters"}"#),
        (r#"{"log":"{password: must be at least"}"#, r#"{"log":"{password: [masked]"}"#),
        (r#"["[masked] password: must be"]"#, r#"["[masked] password: [masked] be"]"#),
        (r#"{"pin": 12, "a": 1"#, r#"{"type":"unparsed","text":"{\"pin\": [masked], \"a\": 1"}"#),
        (r#"["\b\f\n\r\t\/"]"#, r#"["\u0008\u000c\n\r\t/"]"#),
    ]);
}

/// A string is not looked at where it is too short for what its letters could begin.
#[test]
fn the_shortest_secrets_are_found_in_strings_of_json() {
    json_becomes(&[
        (r#"["--pin 1"]"#, r#"["--pin [masked]"]"#),
        (r#"["--token ab"]"#, r#"["--token [masked]"]"#),
        (r#"["curl -u a:b"]"#, r#"["curl -u a:[masked]"]"#),
        (r#"["mysql -pab"]"#, r#"["mysql -p[masked]"]"#),
        (r#"["4222222222222"]"#, r#"["[masked]"]"#),
        (r#"["sk_live_4eC39HqLyj"]"#, r#"["[masked]"]"#),
        (r#"["AKIAIOSFODNN7EXAMPLE"]"#, r#"["[masked]"]"#),
        (r#"["$y$saltsalt$digestdig"]"#, r#"["[masked]"]"#),
        (r#"["$scrypt$saltsaltsalt$digestdigest"]"#, r#"["[masked]"]"#),
        (r#"["Bearer averyveryverylongword"]"#, r#"["Bearer [masked]"]"#),
        (r#"["basic YWRtaWRtaW"]"#, r#"["basic [masked]"]"#),
        // What begins like a date and time and goes on, or stops before.
        (r#"["2026-11-02T08:30 pin=1"]"#, r#"["2026-11-02T08:30 pin=[masked]"]"#),
        (r#"["2026-11-02T08:30+01:00 pin=1"]"#, r#"["2026-11-02T08:30+01:00 pin=[masked]"]"#),
        (r#"["2026-11-02T08:3"]"#, r#"["2026-11-02T08:3"]"#),
        (r#"["sid=x"]"#, r#"["sid=[masked]"]"#),
        (r#"["eyJhbGciOiJ9.eyJ"]"#, r#"["[masked]"]"#),
    ]);
}

/// A quick look turns most texts away, eight bytes in a step: wherever a secret stands in a step or in what is left, it must see it.
#[test]
fn a_secret_is_found_wherever_it_stands() {
    let redactor = Redactor::default();
    let prose = "lorem, ipsum dolor sit. ";
    for secret in [
        "4111111111111111",
        "4111 1111 1111 1111",
        "pin=8264",
        "token: 9f3c",
        "--pin 8264",
        "ghp_0123456789abcdefghij",
        "Bearer 9f3c",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    ] {
        for before in 0..=prose.len() {
            for after in 0..=prose.len() {
                // What is before it ends in a blank, as if it were the end of a word.
                let text = format!("{}{secret} {}", &prose[prose.len() - before..], &prose[..after]);
                let masked = redactor.text(&text);
                assert!(masked.contains("[masked]") && !masked.contains(&secret[secret.len() - 4..]), "{text:?} became {masked:?}");
            }
        }
    }
}

/// A table is told by its first line, in which there may be nothing else to see.
#[test]
fn a_table_is_found_however_long_its_lines_are() {
    for length in 1..=24 {
        let first = "n".repeat(length);
        let text = format!("{first},pin\nana,x\n");
        assert_eq!(Redactor::default().text(&text), format!("{first},pin\nana,[masked]\n"));
    }
}

#[test]
fn pairs_are_found_in_arrays_at_every_depth() {
    json_becomes(&[
        (r#"[["pin",1]]"#, r#"[["pin","[masked]"]]"#),
        (r#"[[["pin",1],["a",2]]]"#, r#"[[["pin","[masked]"],["a",2]]]"#),
        (r#"[[[["pin",1]]]]"#, r#"[[[["pin","[masked]"]]]]"#),
    ]);
}

#[test]
fn every_way_down_ends_at_thirty_two() {
    let redactor = Redactor::default();
    let wrapped = |pieces: &[(&str, &str)], inner: &str| {
        pieces.iter().map(|piece| piece.0).collect::<String>() + inner + &pieces.iter().rev().map(|piece| piece.1).collect::<String>()
    };
    let (object, array) = ((r#"{"a":"#, "}"), ("[", "]"));
    for period in [vec![object], vec![array], vec![object, array], vec![object, array, array], vec![object, array, array, array]] {
        for first in 0..period.len() {
            let pieces: Vec<_> = period.iter().copied().cycle().skip(first).take(33).collect();
            let whole = wrapped(&pieces[..32], "1");
            assert_eq!(redactor.json(whole.as_bytes(), BYTES_MAX).as_str(), whole);
            let cut = wrapped(&pieces[..32], r#""<too deep>""#);
            assert_eq!(redactor.json(wrapped(&pieces, "1").as_bytes(), BYTES_MAX).as_str(), cut);
        }
    }
}

#[test]
fn own_names_may_be_of_letters_beyond_ascii() {
    let redactor = Redactor::new(["名前", "größe"], Detectors::none());
    assert!(redactor.masks_field("名前"));
    assert!(redactor.masks_field("SchuhGröße"));
    assert!(!redactor.masks_field("email"));
}
