//! Who may call what over HTTP: all operations of the OpenAPI document without a token, and those that
//! are no kind's with every role. Kinds and links against every role: `crates/kinds`.

use anyhow::Context as _;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use embedded_postgres::test_database::TestDatabase;
use reqwest::Method;
use serde_json::{Value, json};
use std::{collections::BTreeSet, fmt::Write as _, process::Stdio};
use testkit::{GROUP, PASSWORD, Portico};
use tokio::{io::AsyncWriteExt as _, process::Command};

const BINARY: &str = env!("CARGO_BIN_EXE_portico");

/// A token of a principal that gets this role over this service, by the commands of the program.
pub async fn token_with(
    binary: &str,
    database: &TestDatabase,
    email: &str,
    role: &str,
    service: &str,
) -> anyhow::Result<String> {
    let run = async |arguments: &[&str]| -> anyhow::Result<String> {
        let mut child = Command::new(binary)
            .args(arguments)
            .env("DATABASE_URL", database.url())
            .env(
                "PORTICO_DATA_DIR",
                std::env::temp_dir().join("portico-testkit"),
            )
            .env("PORTICO_SECRET_KEY", BASE64_STANDARD.encode([7; 32]))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        // A new account asks for its password; a known one and `token` do not read it.
        let typed = format!("{PASSWORD}\n");
        let mut stdin = child.stdin.take().context("no stdin")?;
        stdin.write_all(typed.as_bytes()).await?;
        drop(stdin);
        let output = child.wait_with_output().await?;
        anyhow::ensure!(output.status.success(), "{arguments:?}: {output:?}");
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    };
    run(&[
        "grant",
        "--email",
        email,
        "--role",
        role,
        "--service",
        service,
    ])
    .await?;
    run(&["token", "--email", email]).await
}

/// An operation of a document: id, method, path, whether it is open to all.
type Operation = (String, Method, String, bool);

fn operations(document: &Value) -> anyhow::Result<Vec<Operation>> {
    let mut out = Vec::new();
    for (path, item) in document["paths"].as_object().context("no paths")? {
        for (method, operation) in item.as_object().context("no operations")? {
            let Some(id) = operation["operationId"].as_str() else {
                continue;
            };
            let open = operation["security"].as_array().is_some_and(Vec::is_empty);
            out.push((
                id.to_owned(),
                Method::from_bytes(method.to_uppercase().as_bytes())?,
                path.clone(),
                open,
            ));
        }
    }
    Ok(out)
}

/// A path with its placeholders filled; what follows the service need not exist.
fn filled(path: &str) -> String {
    let mut out = path
        .replace("{subscriptionId}", "00000000-0000-0000-0000-000000000001")
        .replace("{resourceGroupName}", "demo-rg")
        .replace("{serviceName}", "own");
    while let Some((head, rest)) = out.clone().split_once('{') {
        let tail = rest.split_once('}').map_or("", |(_, tail)| tail);
        out = format!("{head}00000000-0000-0000-0000-000000000002{tail}");
    }
    out
}

#[tokio::test]
async fn without_a_token_nothing_but_signing_in_is_answered() -> anyhow::Result<()> {
    let database = TestDatabase::create().await?;
    let portico = Portico::start(BINARY, &database, &[]).await?;
    let mut open = BTreeSet::new();
    let mut asked = 0;
    for (id, method, path, is_open) in operations(&server::docs::document(&kinds::registry()))? {
        if is_open {
            open.insert(id);
            continue;
        }
        let path = filled(&path);
        for token in ["", "not-a-token"] {
            let body = (method != Method::GET && method != Method::HEAD).then(|| json!({}));
            let answer = portico
                .send(token, method.clone(), &path, &[], body.as_ref())
                .await?;
            assert_eq!(
                answer.status.as_u16(),
                401,
                "{id} {method} {path}: {answer:?}"
            );
            assert!(answer.headers.contains_key("www-authenticate"), "{id}");
            asked += 1;
        }
    }
    assert!(asked > 400, "{asked} requests");
    assert_eq!(
        open.iter().map(String::as_str).collect::<Vec<_>>(),
        ["Bootstrap", "SignIn", "Token"]
    );
    Ok(())
}

/// Statuses as owner of another service, and as developer, reader, contributor and owner of this one.
/// The bodies are empty and the names unknown, so 400 and 404 after a 403 to the left mean that the role sufficed.
const BESIDES_KINDS: &str = "\
ApiManagementOperations_List 200 200 200 200 200
ApiManagementSkus_List 200 200 200 200 200
ApiManagementService_GetDomainOwnershipIdentifier 200 200 200 200 200
NetworkStatus_ListByLocation 404 403 200 200 200
ApiManagementService_CheckNameAvailability 400 400 400 400 400
DeletedServices_ListBySubscription 200 200 200 200 200
DeletedServices_GetByName 404 404 404 404 404
DeletedServices_Purge 204 204 204 204 204
PolicyWorkbench_ListPolicies 404 403 200 200 200
PolicyWorkbench_Rehearse 404 403 403 400 400
PolicyTest_Run 404 403 403 404 404
TestCall_Send 404 403 403 400 400
Call_Get 404 403 403 404 404
GatewayNode_ListByGateway 404 403 404 404 404
Gateway_ListDebugCredentials 404 403 403 404 404
Gateway_InvalidateDebugCredentials 404 403 403 404 404
Gateway_ListTrace 404 403 403 404 404
Mail_ListByService 404 403 403 200 200
Mail_Get 404 403 403 404 404
Mail_Resend 404 403 403 404 404
ConnectivityCheck_Perform 404 403 403 400 400
OperationStatus_GetByLocation 404 404 404 404 404
OperationsResults_Get 404 404 404 404 404
OperationStatus_Get 404 403 404 404 404
OperationResults_Get 404 403 404 404 404
QuotaByCounterKeys_ListByService 404 403 200 200 200
QuotaByCounterKeys_Update 404 403 403 400 400
QuotaByPeriodKeys_Get 404 403 404 404 404
QuotaByPeriodKeys_Update 404 403 403 400 400
Reports_ListByApi 404 403 400 400 400
Reports_ListByUser 404 403 400 400 400
Reports_ListByOperation 404 403 400 400 400
Reports_ListByProduct 404 403 400 400 400
Reports_ListByGeo 404 403 400 400 400
Reports_ListBySubscription 404 403 400 400 400
Reports_ListByTime 404 403 400 400 400
Reports_ListByRequest 404 403 400 400 400
Reports_ListByLatency 404 403 400 400 400
";

#[tokio::test]
async fn what_is_no_kinds_asks_for_a_role_too() -> anyhow::Result<()> {
    let database = TestDatabase::create().await?;
    let portico = Portico::start(BINARY, &database, &[]).await?;
    let administrator = portico.token().await?;
    portico.service(&administrator, "own").await?;
    portico.service(&administrator, "other").await?;
    let mut tokens = Vec::new();
    for (role, service) in [
        ("owner", "other"),
        ("developer", "own"),
        ("reader", "own"),
        ("contributor", "own"),
        ("owner", "own"),
    ] {
        let email = format!("{role}-of-{service}@example.org");
        tokens.push(token_with(BINARY, &database, &email, role, service).await?);
    }
    let registry = kinds::registry();
    let of_kinds: BTreeSet<String> =
        operations(&engine::openapi::document(&registry, "", Vec::new()))?
            .into_iter()
            .map(|(id, ..)| id)
            .collect();
    let mut found = String::new();
    for (id, method, path, open) in operations(&server::docs::document(&registry))? {
        if open || of_kinds.contains(&id) {
            continue;
        }
        write!(found, "{id}")?;
        for token in &tokens {
            let body = (method != Method::GET).then(|| json!({}));
            let answer = portico
                .send(token, method.clone(), &filled(&path), &[], body.as_ref())
                .await?;
            write!(found, " {}", answer.status.as_u16())?;
        }
        writeln!(found)?;
    }
    assert_eq!(found, BESIDES_KINDS, "{found}");

    let service = filled(&format!("{GROUP}/service/{{serviceName}}"));
    let owner = &tokens[4];
    let gone = portico
        .send(owner, Method::DELETE, &service, &[], None)
        .await?;
    assert_eq!(gone.status.as_u16(), 200, "{gone:?}");
    let provider =
        "/subscriptions/00000000-0000-0000-0000-000000000001/providers/Microsoft.ApiManagement";
    let deleted = format!("{provider}/locations/westus/deletedservices/own");
    // Whether it is listed, and the statuses of reading and purging it.
    let mut answers = Vec::new();
    for token in &tokens {
        let list = format!("{provider}/deletedservices");
        let list = portico.send(token, Method::GET, &list, &[], None).await?;
        let one = portico
            .send(token, Method::GET, &deleted, &[], None)
            .await?;
        let purged = portico
            .send(token, Method::DELETE, &deleted, &[], None)
            .await?;
        answers.push((
            list.body["count"].as_u64(),
            one.status.as_u16(),
            purged.status.as_u16(),
        ));
    }
    assert_eq!(
        answers,
        [
            (Some(0), 404, 204),
            (Some(0), 404, 204),
            (Some(1), 200, 403),
            (Some(1), 200, 403),
            (Some(1), 200, 200),
        ]
    );
    Ok(())
}
