//! Which names are sensitive, and which only look like it.

use indelible_core::{Detectors, Redactor};

#[test]
fn every_way_to_write_a_name_is_the_same_name() {
    let redactor = Redactor::default();
    for name in [
        "api_key",
        "apiKey",
        "ApiKey",
        "API-KEY",
        "apikey",
        "APIKEY",
        "X-Api-Key",
        "HTTP_X_API_KEY",
        "api key",
        "api.key",
        "api[key]",
        "apiKey2",
        "APIKey",
        "myAPIKey",
        "XAPIKey",
        "_api__key_",
        "stripe_api_key_live",
        "api\u{200b}key",
    ] {
        assert!(redactor.masks_field(name), "{name}");
    }
}

#[test]
fn sensitive_names_are_sensitive() {
    let redactor = Redactor::default();
    for name in [
        "password",
        "passwords",
        "Password1",
        "passwd",
        "pwd",
        "passphrase",
        "userpassword",
        "user_password_hash",
        "passwordhash",
        "newPasswordConfirm",
        "secret",
        "clientSecret",
        "token",
        "access",
        "refresh",
        "access_token",
        "authtoken",
        "id_token",
        "authorization",
        "Proxy-Authorization",
        "cookie",
        "Set-Cookie",
        "private_key",
        "privateKey",
        "sessionid",
        "session_id",
        "PHPSESSID",
        "JSESSIONID",
        "connect.sid",
        "csrftoken",
        "csrfmiddlewaretoken",
        "X-CSRFToken",
        "credentials",
        "cvv",
        "cvc2",
        "cardNumber",
        "card_no",
        "pin",
        "otp",
        "ssn",
        "signature",
        "X-Hub-Signature-256",
        "pAsSwOrD",
        "p_a_s_s_w_o_r_d",
        "oauth2token",
        "tokens",
        "id_tokens",
        "client_secrets",
        "recoveryCodes",
        "private",
        "privkey",
        "enc_key",
        "hmacKey",
        "signing_key",
        "encryption_keys",
        "mfa",
        "mfa_token",
        "otp_code",
        "one_time_code",
        "one_time_password",
        "sms_code",
        "activation_code",
        "verification_code",
        "magic_link",
        "reset_link",
        "sentry_dsn",
        "passport",
        "driver_license",
        "driversLicence",
        "ｐａｓｓｗｏｒｄ",
        "password_confirmation",
        "password_hash",
    ] {
        assert!(redactor.masks_field(name), "{name}");
    }
}

#[test]
fn names_that_only_look_sensitive_are_kept() {
    let redactor = Redactor::default();
    for name in [
        "",
        "id",
        "name",
        "secretary",
        "tokenizer",
        "tokens_used",
        "accessibility",
        "access_level",
        "last_access",
        "refresh_rate",
        "author",
        "authority",
        "spin",
        "pinned",
        "shipping",
        "opinion",
        "passenger",
        "compass",
        "bypass",
        "keyboard",
        "monkey",
        "key",
        "compassion",
        "signatory",
        "sidebar",
        "carder",
        "discard",
        "optional",
        "assn",
        "card_type",
        "cookiecutter",
        "cvs",
        "status",
        "user_agent",
        "session_count",
        "max_tokens",
        "primary_key",
        "foreign_key",
        "public_key",
        "has_usable_password",
        "is_token",
        "password_changed_at",
        "passwordChangedAt",
        "token_count",
        "token_type",
        "token_expires",
        "token_expires_at",
        "token_expiry",
        "account_number_last4",
        "account_number_last_four",
        "credit_card_type",
        "cookie_consent",
        "csrf_failure_reason",
        "authentication_method",
        "signature_required",
        "signature_date",
        "otp_enabled",
        "password_length",
        "password_strength",
        "password_policy",
        "pins",
        "pass2word",
        "private_note",
    ] {
        assert!(!redactor.masks_field(name), "{name}");
    }
}

#[test]
fn fields_of_the_settings_are_masked_whatever_their_last_word_says() {
    let redactor = Redactor::new(["blood_type", "has_diabetes"], Detectors::none());
    assert!(redactor.masks_field("patient_blood_type"));
    assert!(redactor.masks_field("has_diabetes"));
    assert!(!redactor.masks_field("token_type"));
}

#[test]
fn fields_of_the_settings_join_the_built_in_ones() {
    let redactor = Redactor::new(["birthDate", "naïveté"], Detectors::none());
    assert!(redactor.masks_field("patient_birth_date"));
    assert!(redactor.masks_field("NAÏVETÉ"));
    assert!(redactor.masks_field("password"));
    assert!(!redactor.masks_field("birthday"));
    assert!(!Redactor::default().masks_field("patient_birth_date"));
}
