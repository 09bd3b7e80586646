//! Inputs made to keep a redactor busy. Each is so long that work which grows with the square of the length would not end
//! within anybody's patience; there is no clock in these tests.

use indelible_core::Redactor;

const LENGTH: usize = 1 << 16;

fn repeated(piece: &str) -> String {
    piece.repeat(LENGTH / piece.len())
}

/// Pieces at each of which a scanner starts to look, and then has to look far.
const PIECES: &[&str] = &[
    "1",
    "4",
    "4 ",
    "4111 ",
    "4-",
    "41111111111111112 ",
    "eyJ",
    "eyJa.",
    "eyJaaaaaaaaaaaaaaa.a ",
    ".",
    "bearer ",
    "bearer+",
    "basic ",
    "basic+",
    "basica",
    "Basic =",
    "-",
    "-----BEGIN ",
    "-----BEGIN PRIVATE",
    "-----BEGIN CERTIFICATE-----",
    "://",
    "://a:b/",
    "a:b@",
    "://a",
    "=",
    "a=",
    "password=",
    "password='",
    "\"password\":",
    "password\":\"",
    "'':",
    "\"':",
    "password:{",
    "password:[",
    "token=bearer ",
    "\\\"",
    "\\",
    "\"",
    "'",
    "{",
    "[",
    "{\"a\":",
    "[\"",
    "{\"password\":",
    "[[\"[\\\"",
    "%",
    "%25",
    "a%3D&",
    "?",
    "/",
    "&",
    "+",
    ";",
    " ",
    "\t=",
    ": ",
    "é=",
    "a_",
    "aA",
    "=\\\"",
    "password=\\\"",
    "password=b'",
    "password=f(",
    "password='''",
    "password: ",
    "password:",
    "<password>",
    "<password ",
    "<",
    ">",
    "<a>",
    "<![CDATA[",
    "<password><![CDATA[",
    "--password ",
    "--a",
    "--password",
    "(\"password\",",
    "(\"",
    "(",
    "name=\"password\"\n\n",
    "name=\"password\"",
    "name=\"",
    "password%3D",
    "%3D",
    "ghp_",
    "sk-",
    "sk_live_aaaaaaaaaaaaaaaaaaaaaa ",
    "_",
    "AKIA",
    "SG.",
    "xoxb-",
    "$",
    "md5$",
    "$2b$",
    "$2b$a ",
    "://hooks.slack.com/",
    "4111.",
    "4111_",
    "4111\u{a0}",
    "4-4",
    "[[\"password\",",
    "{\"name\":\"password\",\"value\":",
    "code=1&",
    "Key (a)=(",
    "Key (id)=(1) is ",
    ")=(",
    "Failing row contains (",
    "<a value=\"",
    "<a name=pin value=a b=\"<",
    "\nvalue=",
    "Key (a)=(1) conflicts with existing key (a)=(",
    "Failing row contains (a).b",
    "DETAIL:",
    "DETAIL: (",
    "DETAIL: (a)\n",
    "DETAIL: Key (",
    "\nDÉTAIL : a",
    "mysql -p",
    "-p-a",
    "<a name=\"password\" value='",
    "aaaaaa:aaaaaa:",
    ":1rXa2b:0123456789abcdefghijklmnopqrstuvwxyzABCDE-_",
    "/bot1:",
    "password: |\n  a\n",
];

#[test]
fn every_entry_is_linear() {
    let redactor = Redactor::default();
    for piece in PIECES {
        let input = repeated(piece);
        let _ = redactor.text(&input);
        let _ = redactor.form(&input);
        let _ = redactor.path(&input);
        let _ = redactor.header("X-Anything", &input);
        let _ = redactor.masks_field(&input);
    }
}

#[test]
fn json_is_linear_and_bounded() {
    let redactor = Redactor::default();
    for piece in PIECES {
        for input in
            [repeated(piece), format!("{{\"{}", repeated(piece)), serde_json::to_string(&format!("{{{}", repeated(piece))).unwrap()]
        {
            let output = redactor.json(input.as_bytes(), 4096);
            assert!(output.len() <= 4096, "{piece}");
        }
    }
}

#[test]
fn deep_nesting_is_cut_at_thirty_two() {
    let redactor = Redactor::default();
    let deep = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    assert_eq!(redactor.json(deep(32).as_bytes(), 1 << 20).as_str(), deep(32));
    let expected = "[".repeat(32) + "\"<too deep>\"" + &"]".repeat(32);
    assert_eq!(redactor.json(deep(33).as_bytes(), 1 << 20).as_str(), expected);
    assert_eq!(redactor.json(deep(500_000).as_bytes(), 1 << 20).as_str(), expected);
}

#[test]
fn strings_inside_strings_are_redacted_at_every_depth() {
    let redactor = Redactor::default();
    let mut input = r#"{"password":"hunter2canary"}"#.to_owned();
    for _ in 0..8 {
        input = format!("{{\"body\":{}}}", serde_json::to_string(&input).unwrap());
        let output = redactor.json(input.as_bytes(), 1 << 20);
        assert!(!output.as_str().contains("hunter2canary"), "{output}");
        assert!(serde_json::from_str::<serde_json::Value>(output.as_str()).is_ok());
    }
}
