//! `certificates`, and the certificates of a service's host names

use crate::world::{SERVICE, World, body};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use engine::{Method, Value, json, sqlx};
use p12_keystore::{Certificate, KeyStore, KeyStoreEntry, PrivateKey, PrivateKeyChain};

/// A file with certificate and key for a host.
fn pfx(host: &str, password: &str) -> String {
    let made = rcgen::generate_simple_self_signed([host.to_owned()]).expect("a certificate");
    let certificate = Certificate::from_der(made.cert.der()).expect("a certificate");
    let key = PrivateKey::from_der(&made.signing_key.serialize_der()).expect("a key");
    let mut store = KeyStore::new();
    store.add_entry(
        "it",
        KeyStoreEntry::PrivateKeyChain(PrivateKeyChain::new(b"1".as_slice(), key, [certificate])),
    );
    BASE64_STANDARD.encode(store.writer(password).write().expect("a file"))
}

async fn put(world: &World, data: Value) -> crate::world::Answer {
    world.put("/certificates/client", body(data)).await
}

#[tokio::test]
async fn a_certificate_tells_what_it_is_and_never_its_key() {
    let world = World::new().await;
    let data = pfx("client.example.org", "open sesame");
    let created = put(&world, json!({"data": data, "password": "open sesame"}))
        .await
        .expect(201);
    let properties = created["properties"].as_object().expect("properties");
    let mut names: Vec<&str> = properties.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["expirationDate", "subject", "thumbprint"]);
    assert_eq!(properties["subject"], "CN=rcgen self signed cert");
    assert_eq!(
        properties["thumbprint"].as_str().map(str::len),
        Some(40),
        "{properties:?}"
    );
    let got = world.get("/certificates/client").await.expect(200);
    assert_eq!(got["properties"], created["properties"]);
    let (chain, sealed): (String, Vec<u8>) =
        sqlx::query_as("SELECT chain_pem, key_pem FROM certificates")
            .fetch_one(&world.pool)
            .await
            .expect("a row");
    assert!(chain.starts_with("-----BEGIN CERTIFICATE-----"));
    assert!(!String::from_utf8_lossy(&sealed).contains("PRIVATE KEY"));
    assert!(world.changes().await.contains(&"certificates".to_owned()));
    let thumbprint = properties["thumbprint"].as_str().expect("a text");
    for filter in [
        format!("thumbprint eq '{thumbprint}'"),
        "expirationDate gt datetime'2030-01-01T00:00:00'".to_owned(),
        "startswith(subject, 'CN=rcgen')".to_owned(),
    ] {
        let found = world
            .get(&format!("/certificates?$filter={filter}"))
            .await
            .expect(200);
        assert_eq!(found["value"].as_array().map(Vec::len), Some(1), "{filter}");
    }
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_is_refused_with_the_reason() {
    let world = World::new().await;
    let data = pfx("client.example.org", "open sesame");
    for (wrong, target) in [
        (json!({}), "data"),
        (json!({"data": "no base64!"}), "data"),
        (json!({"data": "bm90aGluZw=="}), "data"),
        (json!({"data": data, "password": "sesame open"}), "data"),
        (
            json!({"keyVault": {"secretIdentifier": "https://vault/secrets/x"}}),
            "keyVault",
        ),
    ] {
        assert_eq!(put(&world, wrong).await.targets(), [target]);
    }
    assert_eq!(world.names("/certificates").await, [""; 0]);
}

#[tokio::test]
async fn a_certificate_that_is_in_use_stays() {
    let world = World::new().await;
    let data = pfx("client.example.org", "");
    put(&world, json!({"data": data})).await.expect(201);
    let backend = json!({"url": "https://example.org", "protocol": "http",
        "credentials": {"certificateIds": [format!("{SERVICE}/certificates/client")]}});
    world
        .put("/backends/guarded", body(backend))
        .await
        .expect(201);
    let refused = world
        .send(
            Method::Delete,
            "/certificates/client",
            Some("*"),
            Value::Null,
        )
        .await
        .expect(400);
    assert_eq!(
        refused["error"]["details"][0]["message"],
        "certificateId names 'client', which is used by /backends/guarded."
    );
    world
        .send(Method::Delete, "/backends/guarded", Some("*"), Value::Null)
        .await
        .expect(200);
    world
        .send(
            Method::Delete,
            "/certificates/client",
            Some("*"),
            Value::Null,
        )
        .await
        .expect(200);
}

#[tokio::test]
async fn a_hosts_certificate_is_shown_without_file_and_password_and_kept() {
    let world = World::new().await;
    let host = |extra: Value| {
        let mut host = json!({"type": "Proxy", "hostName": "api.example.org"});
        if let (Some(host), Value::Object(extra)) = (host.as_object_mut(), extra) {
            host.extend(extra);
        }
        json!({"properties": {"hostnameConfigurations": [host]}})
    };
    let file = json!({"encodedCertificate": pfx("api.example.org", "open sesame"), "certificatePassword": "open sesame"});
    let patched = world
        .send(Method::Patch, SERVICE, None, host(file))
        .await
        .expect(200);
    let shown = &patched["properties"]["hostnameConfigurations"][0];
    assert_eq!(shown.get("encodedCertificate"), None);
    assert_eq!(shown.get("certificatePassword"), None);
    assert_eq!(shown["certificateSource"], "Custom");
    assert_eq!(shown["certificate"]["subject"], "CN=rcgen self signed cert");
    let sealed = async || -> Option<Vec<u8>> {
        sqlx::query_scalar("SELECT hostname_certificates FROM services")
            .fetch_one(&world.pool)
            .await
            .expect("a service")
    };
    assert!(sealed().await.is_some());
    world
        .send(
            Method::Patch,
            SERVICE,
            None,
            host(json!({"negotiateClientCertificate": true})),
        )
        .await
        .expect(200);
    assert!(
        sealed().await.is_some(),
        "a host without a file keeps its certificate"
    );
    let wrong =
        json!({"encodedCertificate": pfx("api.example.org", "one"), "certificatePassword": "two"});
    assert_eq!(
        world
            .send(Method::Patch, SERVICE, None, host(wrong))
            .await
            .targets(),
        ["hostnameConfigurations[0].encodedCertificate"]
    );
    let other = json!({"properties": {"hostnameConfigurations": [{"type": "Proxy", "hostName": "other.example.org"}]}});
    world
        .send(Method::Patch, SERVICE, None, other)
        .await
        .expect(200);
    assert_eq!(
        sealed().await,
        None,
        "a host that goes takes its certificate along"
    );
}
