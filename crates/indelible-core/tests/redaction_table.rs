//! Secrets planted in every shape that we know of must not come out again.

use indelible_core::{MASK, Redactor};
use serde_json::Value;

const BYTES_MAX: usize = 1 << 20;

/// The secret in most shapes; it has no shape of its own by which a detector could find it.
const CANARY: &str = "hunter2canary";
const CARD: &str = "4111111111111111";
const JWT: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJjYW5hcnkifQ.c2lnbmF0dXJlLWNhbmFyeQ";

/// How a shape enters the redactor.
#[derive(Debug, Clone, Copy)]
enum As {
    Json,
    Form,
    Query,
    Text,
    Path,
    Header(&'static str),
}

fn redact(redactor: &Redactor, how: As, input: &str) -> String {
    match how {
        As::Json => redactor.json(input.as_bytes(), BYTES_MAX).as_str().to_owned(),
        As::Form => redactor.form(input).into_owned(),
        As::Query => redactor.query(input).into_owned(),
        As::Text => redactor.text(input).into_owned(),
        As::Path => redactor.path(input).into_owned(),
        As::Header(name) => redactor.header(name, input).into_owned(),
    }
}

/// Entry, text, and the secret that must be gone.
const SHAPES: &[(As, &str, &str)] = &[
    // JSON: names
    (As::Json, r#"{"password":"hunter2canary"}"#, CANARY),
    (As::Json, r#"{"Password" : "hunter2canary"}"#, CANARY),
    (As::Json, r#"{"userPassword":"hunter2canary"}"#, CANARY),
    (As::Json, r#"{"PASSWORD_2":"hunter2canary"}"#, CANARY),
    (As::Json, r#"{"\u0070assword":"hunter2canary"}"#, CANARY),
    (As::Json, r#"{"passwd":"hunter2canary"}"#, CANARY),
    (As::Json, r#"{"new_passwordhash":"hunter2canary"}"#, CANARY),
    (As::Json, r#"{"a":[{"b":[{"api_key":"hunter2canary"}]}]}"#, CANARY),
    (As::Json, r#"{"apiKey":["x",{"y":"hunter2canary"}]}"#, CANARY),
    (As::Json, r#"{"API-KEY":{"y":{"z":"hunter2canary"}}}"#, CANARY),
    (As::Json, r#"{"X-Api-Key":"hunter2canary","x":1}"#, CANARY),
    (As::Json, r#"{"client secret":"hunter2canary"}"#, CANARY),
    (As::Json, r#"{"stripe.secret.key":"hunter2canary"}"#, CANARY),
    (As::Json, r#"{"access":"hunter2canary"}"#, CANARY),
    (As::Json, r#"{"refreshToken":"hunter2canary"}"#, CANARY),
    (As::Json, r#"{"csrfmiddlewaretoken":"hunter2canary"}"#, CANARY),
    (As::Json, r#"{"sessionid":"hunter2canary"}"#, CANARY),
    (As::Json, r#"{"JSESSIONID":"hunter2canary"}"#, CANARY),
    (As::Json, r#"{"credentials":{"user":"ana","key":"hunter2canary"}}"#, CANARY),
    (As::Json, r#"{"pin":73917391}"#, "73917391"),
    (As::Json, r#"{"cvv":"739"}"#, "739"),
    (As::Json, r#"{"ssn":"078-05-1120"}"#, "078-05-1120"),
    (As::Json, r#"{"token":1,"token":"hunter2canary"}"#, CANARY),
    (As::Json, r#"{"password":"a \" \\","pwd":"hunter2canary"}"#, CANARY),
    (As::Json, r#""{\"password\":\"hunter2canary\"}""#, CANARY),
    (As::Json, r#"{"body":"{\"a\":[{\"pass\\u0077ord\":\"hunter2canary\"}]}"}"#, CANARY),
    (As::Json, r#"{"body":"{\"a\":\"{\\\"password\\\":\\\"hunter2canary\\\"}\"}"}"#, CANARY),
    (As::Json, r#"{"body":"{\"password\": \"hunter2canary"}"#, CANARY),
    (As::Json, r#"{"log":"retry with password=hunter2canary now"}"#, CANARY),
    (As::Json, r#"{"next":"/cb?a=1&access_token=hunter2canary#x"}"#, CANARY),
    (As::Json, r#"{"log":"got {'password': 'hunter2canary'}"}"#, CANARY),
    // JSON: shapes of values, in names and numbers too
    (As::Json, r#"{"note":"card 4111 1111 1111 1111 ok"}"#, "4111 1111 1111 1111"),
    (As::Json, r#"{"note":"\u0034111111111111111"}"#, "111111111111"),
    (As::Json, r#"{"n":4111111111111111}"#, CARD),
    (As::Json, r#"[4111111111111111.0]"#, CARD),
    (As::Json, r#"{"4111111111111111":1}"#, CARD),
    (As::Json, r#"{"x":"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJjYW5hcnkifQ.c2lnbmF0dXJlLWNhbmFyeQ"}"#, JWT),
    (As::Json, r#"{"pem":"-----BEGIN PRIVATE KEY-----\nhunter2canary\n-----END PRIVATE KEY-----\n"}"#, CANARY),
    (As::Json, r#"{"dsn":"postgres:\/\/ana:hunter2canary@db\/x"}"#, CANARY),
    // JSON that is broken, cut off or something else
    (As::Json, r#"{"user":"ana","password":"hunter2canary"#, CANARY),
    (As::Json, r#"{"user":"ana","password":"hunter2canary",}"#, CANARY),
    (As::Json, r#"{"user":"ana","password" : {"x":"hunter2canary"},"#, CANARY),
    (As::Json, r#"{"password":"a\"hunter2canary","#, CANARY),
    (As::Json, r#"{"a":1}{"password":"hunter2canary"}"#, CANARY),
    (As::Json, r#"{'password': 'hunter2canary'}"#, CANARY),
    (As::Json, "{password: hunter2canary}", CANARY),
    (As::Json, r#"{"p\u0061ssword":"hunter2canary"#, CANARY),
    (As::Json, r#"{\"password\":\"hunter2canary\"}"#, CANARY),
    (As::Json, "password=hunter2canary&x=1", CANARY),
    (As::Json, "user: ana\npassword: hunter2canary\n", CANARY),
    (As::Json, "{\"password\":\n  \"hunter2canary\"", CANARY),
    (As::Json, "{\"secrets\": [\"a\", \"hunter2canary\"", CANARY),
    // forms and query strings
    (As::Form, "user=ana&password=hunter2canary", CANARY),
    (As::Form, "user%5Bpassword%5D=hunter2canary", CANARY),
    (As::Form, "user[password][]=hunter2canary&x", CANARY),
    (As::Form, "p%61ssword=hunter2canary", CANARY),
    (As::Form, "p%2561ssword=hunter2canary", CANARY),
    (As::Form, "api+key=hunter2canary", CANARY),
    (As::Form, "card=4111+1111+1111+1111", "4111+1111+1111+1111"),
    (As::Form, "card=4111%201111%201111%201111", "4111%201111%201111%201111"),
    (As::Form, "payload=%7B%22password%22%3A%22hunter2canary%22%7D", CANARY),
    (As::Form, "next=%2Fcb%3Ftoken%3Dhunter2canary", CANARY),
    (As::Form, "next=%252Fcb%253Ftoken%253Dhunter2canary", CANARY),
    (As::Form, "next=4111111111111111%20%252Fcb%253Ftoken%253Dhunter2canary", CANARY),
    (As::Form, "4111111111111111", CARD),
    (As::Form, "auth_header=Bearer+hunter2canary", CANARY),
    (As::Query, "?page=2&token=hunter2canary", CANARY),
    (As::Query, "X-Amz-Signature=hunter2canary&x=1", CANARY),
    (As::Query, "?sig=hunter2canary", CANARY),
    (As::Query, "a=1;password=hunter2canary", CANARY),
    // headers
    (As::Header("Authorization"), "Custom hunter2canary", CANARY),
    (As::Header("PROXY-AUTHORIZATION"), "hunter2canary", CANARY),
    (As::Header("cookie"), "sessionid=hunter2canary; csrftoken=hunter2canary", CANARY),
    (As::Header("Set-Cookie"), "sessionid=hunter2canary; Path=/", CANARY),
    (As::Header("HTTP_X_API_KEY"), "hunter2canary", CANARY),
    (As::Header("X-CSRFToken"), "hunter2canary", CANARY),
    (As::Header("X-Forwarded-Authorization"), "hunter2canary", CANARY),
    (As::Header("X-Custom"), "bearer hunter2canary", CANARY),
    (As::Header("Referer"), "https://x/reset?a=1&t%6Fken=hunter2canary", CANARY),
    (As::Header("Location"), "https://ana:hunter2canary@x/", CANARY),
    // paths
    (As::Path, "/pay/4111111111111111/ok", CARD),
    (As::Path, "/pay/4111%201111%201111%201111/ok", "4111%201111%201111%201111"),
    (As::Path, "/t/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJjYW5hcnkifQ.c2lnbmF0dXJlLWNhbmFyeQ/x", JWT),
    (As::Path, "/x;jsessionid=hunter2canary", CANARY),
    (As::Path, "/proxy/https://ana:hunter2canary@host/x", CANARY),
    (As::Path, "/x?token=hunter2canary", CANARY),
    // text
    (As::Text, "Authorization: Bearer hunter2canary", CANARY),
    (As::Text, "authorization=Token hunter2canary", CANARY),
    (As::Text, "Max retries exceeded with url: /x?db=postgres%3A%2F%2Fana%3Ahunter2canary%40db%2Fx", CANARY),
    (As::Text, "at /x?key=-----BEGIN+PRIVATE+KEY-----%0Ahunter2canary%0A-----END+PRIVATE+KEY-----&b=1", CANARY),
    (As::Text, "/x?next=%2Fy%3Fdb%3Dpostgres%253A%252F%252Fana%253Ahunter2canary%2540db", CANARY),
    (As::Text, "job postgres%3A%2F%2Fana%3Ahunter2canary%40db failed", CANARY),
    (As::Json, r#"{"url":"/x?db=postgres%3A%2F%2Fana%3Ahunter2canary%40db%2Fx"}"#, CANARY),
    (As::Header("Location"), "/x#db=postgres%3A%2F%2Fana%3Ahunter2canary%40db%2Fx", CANARY),
    (As::Text, "Basic aHVudGVyMjpjYW5hcnk=", "aHVudGVyMjpjYW5hcnk="),
    (As::Text, "token => 'hunter2canary'", CANARY),
    (As::Text, "KeyError in {'api_key': 'hunter2canary', 'x': 1}", CANARY),
    (As::Text, "DATABASE_PASSWORD=hunter2canary make", CANARY),
    (As::Text, "redis://:hunter2canary@cache:6379/0", CANARY),
    (As::Text, "postgres://ana:hunter2/can?ary@db/x", "hunter2/can?ary"),
    (As::Text, "-----BEGIN RSA PRIVATE KEY-----\nhunter2canary", CANARY),
    (As::Text, "-----BEGIN OPENSSH PRIVATE KEY-----\nhunter2canary\n-----END OPENSSH PRIVATE KEY----- bye", CANARY),
    (As::Text, "x4111-1111-1111-1111y", "4111-1111-1111-1111"),
    (As::Text, "12 4111111111111111 12/27", CARD),
    (As::Text, "b4111111111111111", CARD),
    (As::Text, "d4111-1111-1111-1111e", "4111-1111-1111-1111"),
    (As::Text, "3059723719285-0", "3059723719285"),
    (As::Text, "40128888-8888-1881-8000-000000000000 4111111111111111", CARD),
    (As::Text, "9b2cf535f27731c974343059723719285-0 4111-1111-1111-1111", "4111-1111-1111-1111"),
    // text: literals and calls of programming languages
    (As::Text, "password=b'hunter2canary'", CANARY),
    (As::Text, "login(password=u\"hunter2canary\", x=1)", CANARY),
    (As::Text, "token = r'hunter2canary'", CANARY),
    (As::Text, "User(password=SecretStr('hunter2canary'))", CANARY),
    (As::Text, "{'password': SecretStr(b'hunter2,canary')}", "canary"),
    (As::Text, "{'password': b'hunter2,canary'}", "canary"),
    (As::Text, "password=\"\"\"hunter2canary\"\"\"", CANARY),
    (As::Text, "Params: (\"password\", \"hunter2canary\")", CANARY),
    (As::Text, "[('a', 1), ('api_key', b'hunter2canary')]", CANARY),
    (As::Text, "[('a', 1), ('api_key', ['a, \"b', 'hunter2canary']), ('c', 1)]", CANARY),
    (As::Text, "QueryDict([('password', ('x]', 'hunter2canary'))])", CANARY),
    (As::Text, "[[\"token\", \"hunter2canary\"]]x", CANARY),
    // text: a colon, an option, an element, a part of a form
    (As::Text, "login failed, password: hunter2canary", CANARY),
    (As::Text, "mutation { login(password: \"hunter2 canary\") }", "canary"),
    (As::Text, "X-Api-Key: hunter2canary", CANARY),
    (As::Text, "Authorization: Token hunter2canary", CANARY),
    (As::Text, "Authorization: hunter2canary\r\nHost: x", CANARY),
    (As::Text, "mysql --user ana --password hunter2canary db", CANARY),
    (As::Text, "deploy --api-key 'hunter2 canary'", "canary"),
    (As::Text, "next=/login?password%3Dhunter2canary%26a%3D1", CANARY),
    (As::Text, "password%3A%20hunter2canary", CANARY),
    (As::Text, "<user><password>hunter2canary</password></user>", CANARY),
    (As::Text, "<ns:Password type=\"text\">\n  hunter2 canary\n</ns:Password>", "canary"),
    (As::Text, "<token><![CDATA[hunter2canary]]></token>", CANARY),
    (As::Text, "<password>hunter2canary", CANARY),
    (As::Text, "--x\r\nContent-Disposition: form-data; name=\"password\"\r\n\r\nhunter2 canary\r\n--x--\r\n", "canary"),
    // Between a name and its value there may be more: the headers of a part, or something inside of the name.
    (As::Text, "(\"pass 4111 1111 1111 1111 word\", \"x\")", "4111 1111 1111 1111"),
    (As::Text, "name=\"pin\"; filename=\"4111 1111 1111 1111\"\r\n\r\n12 3\r\n--x", "4111 1111 1111 1111"),
    (As::Text, "name=\"pin\"\ntoken=hunter2canary\n\nname=\"pin\"\n--x", CANARY),
    (As::Json, r#"{"error":"ValueError: password: hunter2canary"}"#, CANARY),
    (As::Json, r#"{"cmd":"--token hunter2canary"}"#, CANARY),
    (As::Json, r#"{"cmd":"--pin 739173"}"#, "739173"),
    (As::Query, "q=password:hunter2canary", CANARY),
    // tokens that say whose they are
    (As::Text, "push with ghp_hunter2canary16C7e42F292c6912E7710c", CANARY),
    (As::Text, "gho_hunter2canary16C7e42F292c6912E7710c", CANARY),
    (As::Text, "github_pat_11hunter2canary0_16C7e42F292c6912E7710c", CANARY),
    (As::Text, "id AKIAIOSFODNN7EXAMPLE!", "AKIAIOSFODNN7EXAMPLE"),
    (As::Text, "ASIAIOSFODNN7EXAMPLE", "ASIAIOSFODNN7EXAMPLE"),
    (As::Text, "stripe sk_live_4eC39HqLyjWDarjtT1zdp7dc", "4eC39HqLyjWDarjtT1zdp7dc"),
    (As::Text, "rk_live_4eC39HqLyjWDarjtT1zdp7dc", "4eC39HqLyjWDarjtT1zdp7dc"),
    (As::Text, "sk-proj-hunter2canary4eC39HqLyjWDarjtT1", CANARY),
    (As::Text, "xoxb-123456789012-123456789012-hunter2canary", CANARY),
    (As::Text, "AIzaSyA1234567890abcdefghijklmnopqrstuv", "AIzaSyA1234567890abcdefghijklmnopqrstuv"),
    (As::Text, "glpat-hunter2canary-4eC39H", CANARY),
    (As::Text, "npm_hunter2canary16C7e42F292c6912E7710c", CANARY),
    (As::Text, "SG.hunter2canary16C7e42F2.92c6912E7710c-hunter2canary92c6912E7710c", CANARY),
    (As::Text, "https://hooks.slack.com/services/T00000000/B00000000/hunter2canary", CANARY),
    (As::Json, r#"{"x":"ghp_hunter2canary16C7e42F292c6912E7710c"}"#, CANARY),
    // hashes of passwords
    (As::Text, "was pbkdf2_sha256$870000$hunter2canary$1aHVudGVyMmNhbmFyeQ=", CANARY),
    (As::Text, "$argon2id$v=19$m=102400,t=2,p=8$aHVudGVyMg$hunter2canary", CANARY),
    (As::Text, "argon2$argon2id$v=19$m=102400,t=2,p=8$aHVudGVyMg$hunter2canary", CANARY),
    (As::Text, "$2b$12$hunter2canaryR9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW", CANARY),
    (As::Json, r#"["bcrypt_sha256$$2b$12$hunter2canaryR9h/cIPz0gi.URNNX3kh2OPST9"]"#, CANARY),
    // cards with other separators
    (As::Text, "4111.1111.1111.1111", "4111.1111.1111.1111"),
    (As::Text, "card_4111_1111_1111_1111", "4111_1111_1111_1111"),
    (As::Text, "4111\u{a0}1111\u{a0}1111\u{a0}1111", "4111\u{a0}1111"),
    (As::Text, "4111\u{202f}1111\u{202f}1111\u{202f}1111", "4111\u{202f}1111"),
    // JSON: pairs of a name and a value
    (As::Json, r#"{"form":[["password","hunter2canary"],["a","b"]]}"#, CANARY),
    (As::Json, r#"[{"name":"password","value":"hunter2canary"}]"#, CANARY),
    (As::Json, r#"{"field":"api_key","old":"hunter2canary","new":{"a":"hunter2canary"}}"#, CANARY),
    (As::Json, r#"{"ｐａｓｓｗｏｒｄ":"hunter2canary"}"#, CANARY),
    // OAuth
    (As::Query, "code=hunter2canary&state=x", CANARY),
    (As::Form, "grant_type=authorization_code&code=hunter2canary", CANARY),
    (As::Text, "GET /cb?code=hunter2canary&state=x HTTP/1.1", CANARY),
    (As::Text, "see https://x/cb?state=x&amp;code=hunter2canary, please", CANARY),
    (As::Text, "/login?next=%2Fcb%3Fcode%3Dhunter2canary%26state%3Dx", CANARY),
    (As::Header("Location"), "https://app/cb?code=hunter2canary&state=x", CANARY),
    (As::Header("Location"), "/cb#code=hunter2canary&state=x", CANARY),
    (As::Header("Location"), "/login?next=%2Fcb%3Fcode%3Dhunter2canary%26state%3Dx", CANARY),
    (As::Header("Referer"), "https://app/cb?session_state=1&code=hunter2canary", CANARY),
    (As::Path, "/cb?code=hunter2canary&state=x#y", CANARY),
    (As::Query, "next=%2Fcb%3Fcode%3Dhunter2canary%26state%3Dx", CANARY),
    // certificates and proofs of clients
    (As::Header("Ssl-Client-Cert"), "hunter2canary", CANARY),
    (As::Header("X-SSL-Client-Cert"), "hunter2canary", CANARY),
    (As::Header("X-Forwarded-Client-Cert"), "By=x;Cert=hunter2canary", CANARY),
    (As::Header("X-ARR-ClientCert"), "hunter2canary", CANARY),
    (As::Header("X-Amzn-Mtls-Clientcert-Leaf"), "hunter2canary", CANARY),
    (As::Header("X-Client-Certificate"), "hunter2canary", CANARY),
    (As::Header("DPoP"), "hunter2canary", CANARY),
    (As::Header("HTTP_DPOP"), "hunter2canary", CANARY),
    (As::Text, "DPoP: hunter2canary", CANARY),
    (As::Text, "Authorization: DPoP hunter2canary", CANARY),
    (As::Text, "Proxy-Authorization: Custom hunter2canary", CANARY),
    (As::Text, "proxy_authorization=Custom hunter2canary x", CANARY),
    // a user and a password in one option
    (As::Text, "curl -u ana:hunter2canary https://x", CANARY),
    (As::Text, "curl -uana:hunter2canary https://x", CANARY),
    (As::Text, "curl --user=ana:hunter2canary https://x", CANARY),
    (As::Text, "curl --proxy-user 'ana:hunter2canary'", CANARY),
    (As::Text, "['curl', '-u', 'ana:hunter2canary']", CANARY),
    (As::Json, r#"{"cmd":"curl -u ana:hunter2canary https://x"}"#, CANARY),
    // blocks of lines, and tables
    (As::Text, "user: ana\npassword: correct horse hunter2canary\n", CANARY),
    (As::Text, "db:\n  host: x\n  password: |\n    hunter2canary\n  port: 1", CANARY),
    (As::Text, "db:\n  password:\n    - a\n    - hunter2canary\n  port: 1", CANARY),
    (As::Text, "Host: x\r\nX-Api-Key: a, hunter2canary\r\n\r\n", CANARY),
    (As::Json, r#"{"yaml":"user: ana\npassword: correct horse hunter2canary\n"}"#, CANARY),
    (As::Text, "name,password\nana,hunter2canary\n", CANARY),
    (As::Text, "id;API key\r\n1;hunter2canary\r\n", CANARY),
    (As::Text, "id\ttoken\n1\t\"x \"\"y\nhunter2canary\"\n", CANARY),
    (As::Json, r#"{"csv":"name,password\nana,hunter2canary\n"}"#, CANARY),
    (As::Json, "name,password,n\nana,hunter2canary,1\nbob,hunter2canary,2\n", CANARY),
    // links for a new password
    (As::Path, "/reset/Mg/d8v2d1-0123456789abcdef0123456789abcdef/", "d8v2d1-0123456789abcdef"),
    (As::Header("Referer"), "https://x/reset/Mg/d8v2d1-0123456789abcdef0123456789abcdef/", "d8v2d1-0123456789abcdef"),
    (As::Text, "GET /reset/Mg/d8v2d1-0123456789abcdef0123456789abcdef/ HTTP/1.1", "d8v2d1-0123456789abcdef"),
];

#[test]
fn no_planted_secret_comes_out() {
    let redactor = Redactor::default();
    for &(how, input, secret) in SHAPES {
        assert!(input.contains(secret) || input.contains("\\u"), "the row plants nothing: {input}");
        let output = redact(&redactor, how, input);
        assert!(!output.contains(secret), "{how:?} {input} → {output}");
        assert!(output.contains(MASK), "{how:?} {input} → {output}");
    }
}

#[test]
fn what_is_redacted_stays_as_it_is_when_redacted_again() {
    let redactor = Redactor::default();
    for &(how, input, _) in SHAPES {
        let once = redact(&redactor, how, input);
        assert_eq!(redact(&redactor, how, &once), once, "{how:?} {input}");
    }
}

#[test]
fn every_answer_of_json_is_json() {
    let redactor = Redactor::default();
    for &(_, input, _) in SHAPES {
        let output = redactor.json(input.as_bytes(), BYTES_MAX);
        assert!(serde_json::from_str::<Value>(output.as_str()).is_ok(), "{input} → {output}");
    }
}

/// What surrounds a secret stays readable.
#[test]
fn only_the_secret_is_replaced() {
    let redactor = Redactor::default();
    for (how, input, expected) in [
        (As::Json, r#"{"a": 1, "password": {"x": [1, 2]}, "b": "x"}"#, r#"{"a":1,"password":"[masked]","b":"x"}"#),
        (As::Json, r#"{"n": "pay 4111 1111 1111 1111 now"}"#, r#"{"n":"pay [masked] now"}"#),
        (As::Json, r#"[4111111111111111, 12]"#, r#"["[masked]",12]"#),
        (As::Json, r#"{"s": "{\"a\": 1, \"pin\": 2}"}"#, r#"{"s":"{\"a\":1,\"pin\":\"[masked]\"}"}"#),
        (As::Json, r#"["{\"t\": \"{\\\"pin\\\": 2}\"}"]"#, r#"["{\"t\":\"{\\\"pin\\\":\\\"[masked]\\\"}\"}"]"#),
        (As::Json, r#"{"password":"x"#, r#"{"type":"unparsed","text":"{\"password\":\"[masked]"}"#),
        (As::Form, "a=%7e&password=x&b=1+2", "a=%7e&password=[masked]&b=1+2"),
        (As::Form, "note=pay+4111111111111111+now&b=a%20b", "note=pay+[masked]+now&b=a%20b"),
        (As::Form, "note=pay%204111+1111+1111+1111", "note=[masked]"),
        (As::Query, "?a=%41&token=x", "?a=%41&token=[masked]"),
        (As::Text, "GET postgres://ana:pw@db/x", "GET postgres://ana:[masked]@db/x"),
        (
            As::Text,
            "url: /orders?a=%7e&db=postgres%3A%2F%2Fana%3Apw%40db%2Fx&b=1 (refused)",
            "url: /orders?a=%7e&db=[masked]&b=1 (refused)",
        ),
        (As::Text, "GET /a%20b/4111%201111%201111%201111/c?d=e", "GET /a%20b/[masked]/c?d=e"),
        (As::Text, "Authorization: Bearer abc123, x", "Authorization: [masked], x"),
        (As::Text, "Pwd=x;Database=y", "Pwd=[masked];Database=y"),
        (As::Text, "-----BEGIN EC PRIVATE KEY-----\nx\n-----END EC PRIVATE KEY-----\nbye", "[masked]\nbye"),
        (As::Path, "/a%20b/4111%201111%201111%201111/c", "/a%20b/[masked]/c"),
        (As::Text, "f(password=b'x', a=1)", "f(password=b'[masked]', a=1)"),
        (As::Text, "[('pin', ['1', '2']), ('a', 1)]", "[('pin', [masked]), ('a', 1)]"),
        (As::Text, "f(password=SecretStr('x'), a=1)", "f(password=SecretStr('[masked]'), a=1)"),
        (As::Text, "password: must be at least 8 characters", "password: [masked] be at least 8 characters"),
        (As::Text, "(password: x), y", "(password: [masked]), y"),
        (As::Text, "cp --token x a b", "cp --token [masked] a b"),
        (As::Text, "<a><pin>1</pin><b>2</b></a>", "<a><pin>[masked]</pin><b>2</b></a>"),
        (As::Text, "x%3D1%26pin%3D2%26y%3D3", "x%3D1%26pin%3D[masked]%26y%3D3"),
        (As::Text, "(\"pin\", \"1\"), (\"a\", \"2\")", "(\"pin\", \"[masked]\"), (\"a\", \"2\")"),
        (As::Text, "(\"pin\", 1), [\"pin\", x]", "(\"pin\", [masked]), [\"pin\", [masked]]"),
        (As::Text, "name=\"pin\"\r\n\r\n12 3\r\n--x", "name=\"pin\"\r\n\r\n[masked]\r\n--x"),
        (As::Text, "old $2b$12$R9h/cIPz0gi.URNNX3kh2OPST9, new", "old [masked], new"),
        (As::Json, r#"[["pin",1],["a","b"]]"#, r#"[["pin","[masked]"],["a","b"]]"#),
        (As::Json, r#"[{"name":"pin","value":[1],"x":2}]"#, r#"[{"name":"pin","value":"[masked]","x":2}]"#),
        (As::Query, "?code=x&state=y&z=1", "?code=[masked]&state=y&z=1"),
        (As::Text, "at /cb?a=1&code=x&state=y, twice", "at /cb?a=1&code=[masked]&state=y, twice"),
        (As::Text, "curl -u ana:pw https://x/y", "curl -u ana:[masked] https://x/y"),
        (As::Text, "Authorization: DPoP abc1, x", "Authorization: [masked], x"),
        (As::Text, "host: x\npassword: a b, c\nport: 1", "host: x\npassword: [masked]\nport: 1"),
        (As::Text, "host: x\npassword: \"a b\"\nport: 1", "host: x\npassword: \"[masked]\"\nport: 1"),
        (As::Text, "a,pin,b\n1,2,3\n4,5,6\n", "a,pin,b\n1,[masked],3\n4,[masked],6\n"),
        (As::Path, "/reset/Mg/d8v2d1-0123456789abcdef0123456789abcdef/x", "/reset/Mg/[masked]/x"),
        (As::Path, "/reset/key/2c-d8v2d1-0123456789abcdef0123456789abcdef/", "/reset/key/2c-[masked]/"),
        (As::Path, "/join/MQ:1rXa2b:0123456789abcdefghijklmnopqrstuvwxyzABCDE-_/x", "/join/[masked]/x"),
        (As::Text, "t=eyJhIjox:1rXa2b:0123456789abcdefghijklmnopqrstuvwxyzABCDE-_, x", "t=[masked], x"),
        (As::Text, "POST https://h/bot123456:0123456789abcdefghijklmnopqrst-_/send", "POST https://h/bot123456:[masked]/send"),
        (As::Text, "Key (email, token)=(ana@x.org, a b) already exists.", "Key (email, token)=([masked]) already exists."),
        (As::Text, "Key (pin)=(12) already exists.", "Key (pin)=([masked]) already exists."),
        (As::Text, "Key (email)=(a)=b@x.org) already exists.", "Key (email)=([masked]) already exists."),
        (As::Text, "Key (name)=(a) is b) with c) already d) already exists.", "Key (name)=([masked]) already exists."),
        (As::Text, "Key (national_id)=(1234567) already exists.", "Key (national_id)=([masked]) already exists."),
        (As::Text, "Key (paid)=(12) already exists.", "Key (paid)=([masked]) already exists."),
        (As::Text, "Key (patient_id)=(1234567890) already exists.", "Key (patient_id)=([masked]) already exists."),
        (
            As::Text,
            "Key (room, during)=(1, [a,b)) conflicts with existing key (room, during)=(1, [c). d,e)).\nCONTEXT: x (y).",
            "Key (room, during)=([masked]) conflicts with existing key (room, during)=([masked]).\nCONTEXT: x (y).",
        ),
        (As::Text, "Failing row contains (7, a (b). c, d).\nx (y).", "Failing row contains ([masked]).\nx (y)."),
        (As::Text, "'Failing row contains (7, a (b). c\nd).' and", "'Failing row contains ([masked]).' and"),
        (As::Text, "Failing row contains (7, a", "Failing row contains ([masked]"),
        (
            As::Text,
            "x\nDETAIL:  Schlüssel »(email)=(ana@x.org)« existiert bereits.",
            "x\nDETAIL:  Schlüssel »([masked])« existiert bereits.",
        ),
        (As::Text, "DÉTAIL : La clé « (id)=(7) » existe déjà.\nx (y)", "DÉTAIL : La clé « ([masked]) » existe déjà.\nx (y)"),
        (As::Text, "x\nDETALLE:  La fila que falla contiene (7, Ana\nB (x), null).", "x\nDETALLE:  La fila que falla contiene ([masked])."),
        (As::Text, r#""x\nDETAIL:  Fehlgeschlagene Zeile enthält (7, Ana)."#, r#""x\nDETAIL:  Fehlgeschlagene Zeile enthält ([masked])."#),
        (As::Text, "ПОДРОБНОСТИ:  Ошибочная строка содержит (7, Ana", "ПОДРОБНОСТИ:  Ошибочная строка содержит ([masked]"),
        (As::Text, "详细信息:  失败, 行包含(7, Ana).", "详细信息:  失败, 行包含([masked])."),
        (
            As::Text,
            "Command '['mysql', '-u', 'root', '-phunter2', 'clinic']' returned 1",
            "Command '['mysql', '-u', 'root', '-p[masked]', 'clinic']' returned 1",
        ),
        (As::Text, "redis-cli -h db -a hunter2 ping", "redis-cli -h db -a [masked] ping"),
        (
            As::Text,
            "null value\nDETAIL:  Failing row contains (7, null, a (b), c).\nx",
            "null value\nDETAIL:  Failing row contains ([masked]).\nx",
        ),
        (
            As::Text,
            "<input type='hidden' name='csrfmiddlewaretoken' value='a b'> x",
            "<input type='hidden' name='csrfmiddlewaretoken' value='[masked]'> x",
        ),
        (As::Text, r#"<input value="ab" id="x" name="password"/>"#, r#"<input value="[masked]" id="x" name="password"/>"#),
        (As::Text, r#"<meta name="csrf-token" content="ab">"#, r#"<meta name="csrf-token" content="[masked]">"#),
        (As::Text, "<input name=\"pin\" value=\"a b", "<input name=\"pin\" value=\"[masked]"),
        (
            As::Text,
            r#"<input name="password" @input="e => go(e)" value="s" title="a>b">"#,
            r#"<input name="password" @input="e => go(e)" value="[masked]" title="a>b">"#,
        ),
        (
            As::Text,
            r#"<input value="s" @input="e => go(e)" name="password"><i value="1">"#,
            r#"<input value="[masked]" @input="e => go(e)" name="password"><i value="1">"#,
        ),
        (As::Text, "<input\n\tname=\"pin\"\n\tvalue=\"1\"\n>", "<input\n\tname=\"pin\"\n\tvalue=\"[masked]\"\n>"),
        (As::Text, "<input name=pin value='1'>", "<input name=pin value='[masked]'>"),
        (As::Text, "<INPUT VALUE=1 NAME=pin> x", "<INPUT VALUE=[masked] NAME=pin> x"),
        (As::Text, "password: |\n  a b\n  c\nuser", "password: [masked]\nuser"),
    ] {
        assert_eq!(redact(&redactor, how, input), expected, "{how:?}");
    }
}

/// What looks like a secret and is none: each row has been taken for one, or easily would be.
#[test]
fn ordinary_text_stays_as_it_is() {
    let redactor = Redactor::default();
    for (how, input) in [
        (As::Query, "code=SUMMER&page=2"),
        (As::Text, "exit code=1, state=failed"),
        (As::Text, "docker run -u 1000:1000 --user 33:33 web"),
        (As::Text, "git push -u origin main: done"),
        (As::Text, "psql -U ana -h db:5432"),
        (As::Text, "tar -uvf a:b"),
        (As::Text, "Dear Ana, the tokens, cards and keys\nare ready, all of them."),
        (As::Text, "name,age\nana,4\n"),
        (As::Text, "Key (id)=(7) is not present in table \"bed\"."),
        (As::Text, "x\nDETAIL:  Key (id)=(7) is not present in table \"bed\"."),
        (As::Text, "DETAIL:  Process 12 waits for ShareLock; blocked by process 7.\nHINT:  See the log (of the server)."),
        (As::Text, "The SUBDETAIL: a (b), a detail: (b)"),
        (As::Text, "Key (doctor_id)=(7) is still referenced"),
        (As::Text, "Key (room_id)=(7) conflicts with existing key (room_id)=(7)."),
        (As::Text, r#"<input name="password" @input="e => go(e)"> a value="b" <b title='x>y' value="c" title="name">"#),
        (As::Text, "f(a)=(b), f (a)=(b)"),
        (As::Text, "The row contains (a, b). Failing rows contain (c)."),
        (As::Text, r#"<input name="city" value="Rome"> <label for="password">x</label> <i id="token"></i> <input value="a">"#),
        (As::Text, "SHA256:uNiVztksCsDhcc0u9e8BrXf0sP7b0lZ3gxN5pDEt8aM ana@host"),
        (As::Text, "at 12:30:45, a:123456:b, urn:abcdef:0123456789abcdefghijklmnopqrstuvwxyzABCDE-_0"),
        (As::Text, "/bot12:30 and /robot123456:0123456789"),
        (As::Text, "/images/web-abc1234-0123456789abcdef0123456789abcdef/"),
        (As::Text, "he said: |\n  nothing\n"),
        (As::Text, "host: x\nuser: ana b\nport: 1"),
        (As::Text, "/static/d8v2d1-0123456789abcdef0123456789abcdef.css"),
        (As::Text, "commit 0123456789abcdef0123456789abcdef01234567 by build-0123456789abcdef0123456789abcdef"),
        (As::Header("Ssl-Client-Verify"), "SUCCESS"),
        (As::Header("Ssl-Client-Subject-Dn"), "CN=ana"),
        (As::Header("X-Amzn-Mtls-Clientcert-Serial-Number"), "03A5B1"),
        (As::Header("Referer"), "https://x/reset/Mg/set-password/"),
    ] {
        assert_eq!(redact(&redactor, how, input), input, "{how:?}");
    }
}

#[test]
fn a_moment_is_no_secret_and_nothing_passes_for_one() {
    let redactor = Redactor::default();
    let in_json = |text: &str| redactor.json(format!(r#"{{"at":"{text}"}}"#).as_bytes(), 1024).as_str().to_owned();
    for moment in ["2026-11-02T08:30", "2026-11-02T08:30:00Z", "2026-11-02T08:30:00.123456+01:00", "2026-11-02T08:30:00-05:00"] {
        assert_eq!(in_json(moment), format!(r#"{{"at":"{moment}"}}"#));
    }
    for hidden in [
        "2026-11-02T08:304111111111111111",
        "2026-11-02T08:30:00 4111 1111 1111 1111",
        "2026-11-02T08:30:00.4111111111111111",
        "2026-11-02T08:30 Bearer abcDEF0123456789xyz",
        "be a Basic YWRtaW46aHVudGVyMg==",
        "bBearer abcDEF0123456789xyz bas bearer abcDEF0123456789xyz",
    ] {
        // An escape takes the long way.
        let the_long_way = redactor.json(format!(r#"{{"at":"{hidden}\u002e"}}"#).as_bytes(), 1024);
        assert_eq!(in_json(hidden), the_long_way.as_str().replace(".\"}", "\"}"), "{hidden}");
    }
}
