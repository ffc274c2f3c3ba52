//! Reports tell where callers are, by the database of addresses that whoever runs Portico brings.

use crate::gateway_process::Folder;
use embedded_postgres::test_database::TestDatabase;
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use std::time::Duration;
use testkit::Portico;

const BINARY: &str = env!("CARGO_BIN_EXE_portico");
const ALWAYS: &str = "$filter=timestamp ge datetime'2020-01-01T00:00:00' and timestamp le datetime'2100-01-01T00:00:00'";

/// Values of MaxMind's format, as far as these tests need them (lengths below 29).
enum Item<'a> {
    Text(&'a str),
    Number16(u16),
    Number32(u32),
    Number64(u64),
    List(Vec<Item<'a>>),
    Map(Vec<(&'a str, Item<'a>)>),
}

impl Item<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        let head = |kind: u8, length: usize| -> u8 {
            (kind << 5) | u8::try_from(length).expect("short values only")
        };
        match self {
            Item::Text(text) => {
                out.push(head(2, text.len()));
                out.extend(text.bytes());
            }
            Item::Number16(number) => {
                out.push(head(5, 2));
                out.extend(number.to_be_bytes());
            }
            Item::Number32(number) => {
                out.push(head(6, 4));
                out.extend(number.to_be_bytes());
            }
            // Kinds from 8 on are told in a byte of their own, less 7.
            Item::Number64(number) => {
                out.extend([head(0, 8), 9 - 7]);
                out.extend(number.to_be_bytes());
            }
            Item::List(items) => {
                out.extend([head(0, items.len()), 11 - 7]);
                items.iter().for_each(|item| item.write(out));
            }
            Item::Map(entries) => {
                out.push(head(7, entries.len()));
                for (key, value) in entries {
                    Item::Text(key).write(out);
                    value.write(out);
                }
            }
        }
    }
}

/// A database that knows one network, 203.0.113.0/24.
fn database(country: &str, region: &str) -> Vec<u8> {
    const NODES: u32 = 24;
    let network = u32::from_be_bytes([203, 0, 113, 0]);
    let mut out = Vec::new();
    for bit in 0..NODES {
        // Data begin behind the tree and 16 empty bytes.
        let next = if bit + 1 == NODES {
            NODES + 16
        } else {
            bit + 1
        };
        let is_one = network >> (31 - bit) & 1 == 1;
        let (zero, one) = if is_one { (NODES, next) } else { (next, NODES) };
        for record in [zero, one] {
            out.extend(&record.to_be_bytes()[1..]);
        }
    }
    out.extend([0; 16]);
    Item::Map(vec![
        (
            "country",
            Item::Map(vec![("iso_code", Item::Text(country))]),
        ),
        (
            "subdivisions",
            Item::List(vec![Item::Map(vec![("iso_code", Item::Text(region))])]),
        ),
        ("postal", Item::Map(vec![("code", Item::Text("11000"))])),
    ])
    .write(&mut out);
    out.extend(b"\xab\xcd\xefMaxMind.com");
    Item::Map(vec![
        ("node_count", Item::Number32(NODES)),
        ("record_size", Item::Number16(24)),
        ("ip_version", Item::Number16(4)),
        ("database_type", Item::Text("Portico-Test")),
        ("languages", Item::List(vec![Item::Text("en")])),
        ("binary_format_major_version", Item::Number16(2)),
        ("binary_format_minor_version", Item::Number16(0)),
        ("build_epoch", Item::Number64(1_700_000_000)),
        ("description", Item::Map(vec![("en", Item::Text("test"))])),
    ])
    .write(&mut out);
    out
}

#[tokio::test]
async fn calls_are_counted_by_the_country_and_region_of_their_callers() -> anyhow::Result<()> {
    let folder = Folder::new("places")?;
    let file = folder.0.join("places.mmdb");
    std::fs::write(&file, database("CZ", "10"))?;
    let postgres = TestDatabase::create().await?;
    let path = file.to_string_lossy();
    let portico = Portico::start(
        BINARY,
        &postgres,
        &[
            ("PORTICO_GEO_DATABASE", &path),
            ("PORTICO_GATEWAY_TRUSTED_PROXIES", "1"),
        ],
    )
    .await?;
    let token = portico.token().await?;
    let service = portico.service(&token, "placed").await?;
    let read = async |path: &str| -> anyhow::Result<Value> {
        let path = format!("{service}{path}");
        let reply = portico.send(&token, Method::GET, &path, &[], None).await?;
        Ok(reply.body)
    };
    // The gateway serves what was written before a write's reply.
    let subscription = json!({"properties": {"scope": "/apis", "displayName": "Ann"}});
    let path = format!("{service}/subscriptions/ann");
    portico
        .send(&token, Method::PUT, &path, &[], Some(&subscription))
        .await?;
    let gateway = read("").await?["properties"]["gatewayUrl"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let call = async |address: &str| -> anyhow::Result<()> {
        let reply = Client::new()
            .get(format!("{gateway}/echo/resource?param1=x"))
            .header("X-Forwarded-For", address)
            .send()
            .await?;
        assert_eq!(reply.status(), StatusCode::UNAUTHORIZED);
        Ok(())
    };
    let counted = async |expected: Value| -> anyhow::Result<()> {
        let mut seen = Value::Null;
        for _ in 0..100 {
            let rows = read(&format!(
                "/reports/byGeo?$orderby=callCountTotal desc&{ALWAYS}"
            ))
            .await?;
            let rows = rows["value"].as_array().cloned().unwrap_or_default();
            seen = rows
                .iter()
                .map(|row| json!([row["country"], row["region"], row["callCountTotal"]]))
                .collect();
            if seen == expected {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(seen, expected);
        Ok(())
    };

    for address in [
        "203.0.113.7",
        "203.0.113.8",
        "203.0.113.9",
        "192.0.2.1",
        "2001:db8::1",
    ] {
        call(address).await?;
    }
    counted(json!([["CZ", "10", 3], ["", "", 2]])).await?;

    // The database of the next week; the file is replaced as a whole, as those who download it do.
    let next = folder.0.join("next.mmdb");
    std::fs::write(&next, database("SK", "BL"))?;
    std::fs::rename(&next, &file)?;
    call("203.0.113.7").await?;
    counted(json!([["CZ", "10", 3], ["", "", 2], ["SK", "BL", 1]])).await?;

    // A damaged one changes nothing.
    std::fs::write(&next, b"not a database")?;
    std::fs::rename(&next, &file)?;
    call("203.0.113.7").await?;
    counted(json!([["CZ", "10", 3], ["", "", 2], ["SK", "BL", 2]])).await?;

    let newest = read(&format!("/reports/byRequest?$top=1&{ALWAYS}")).await?["value"][0].clone();
    assert_eq!(
        [
            &newest["country"],
            &newest["region"],
            &newest["zip"],
            &newest["ipAddress"]
        ],
        [
            &json!("SK"),
            &json!("BL"),
            &json!("11000"),
            &json!("203.0.113.7")
        ]
    );
    Ok(())
}
