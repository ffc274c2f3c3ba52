//! APIs from documents.

use crate::world::{World, body};
use engine::{Value, json, sqlx};

const PETS: &str = r##"
openapi: 3.0.3
info: {title: Pets, version: '1', description: Buys and sells pets.}
servers: [{url: 'http://pets.example.org/v1'}]
paths:
  /pets:
    get:
      operationId: listPets
      tags: [Reading, all pets]
      parameters:
        - {name: limit, in: query, required: true, schema: {type: integer}}
      responses:
        200:
          description: The pets
          content:
            application/json: {schema: {$ref: '#/components/schemas/Pets'}}
    post: {operationId: addPet, summary: Adds a pet, responses: {201: {description: Added}}}
  /pets/{id}:
    parameters: [{name: id, in: path, required: true, schema: {type: string}}]
    get: {operationId: getPet, responses: {200: {description: The pet}}}
components:
  schemas:
    Pets: {type: array, items: {type: string}}
"##;

fn import(document: &str) -> Value {
    body(json!({"path": "pets", "format": "openapi", "value": document}))
}

/// Name, id and revision of the operations, by name.
async fn operations(world: &World) -> Vec<(String, uuid::Uuid, i64)> {
    sqlx::query_as("SELECT o.name, o.id, o.rev FROM api_operations o JOIN apis a ON a.id = o.parent_id WHERE a.name = 'pets' ORDER BY 1")
        .fetch_all(&world.pool)
        .await
        .expect("operations")
}

async fn report(world: &World) -> Value {
    let mut report = world.get("/apis/pets/importReport").await.expect(200);
    for key in ["importedAt", "format"] {
        assert!(
            report
                .as_object_mut()
                .expect("an object")
                .remove(key)
                .is_some()
        );
    }
    report
}

#[tokio::test]
async fn a_document_becomes_an_api() {
    let world = World::new().await;
    world.put("/apis/pets", import(PETS)).await.expect(201);
    let api = world.get("/apis/pets").await.expect(200);
    assert_eq!(
        api["properties"],
        json!({
            "displayName": "Pets", "description": "Buys and sells pets.", "path": "pets", "protocols": ["http"],
            "serviceUrl": "http://pets.example.org/v1", "type": "http", "apiRevision": "1",
            "isCurrent": true, "isOnline": true, "subscriptionRequired": true, "provisioningState": "Succeeded",
            "subscriptionKeyParameterNames": {"header": "Ocp-Apim-Subscription-Key", "query": "subscription-key"}
        })
    );
    let list = world
        .get("/apis/pets/operations/listPets")
        .await
        .expect(200);
    assert_eq!(
        list["properties"],
        json!({
            "displayName": "listPets", "method": "GET", "urlTemplate": "/pets?limit={limit}",
            "templateParameters": [{"name": "limit", "type": "integer", "required": true}],
            "responses": [{"statusCode": 200, "description": "The pets", "headers": [], "representations": [
                {"contentType": "application/json", "schemaId": "imported", "typeName": "Pets"}]}]
        })
    );
    let schema = world.get("/apis/pets/schemas/imported").await.expect(200);
    assert_eq!(
        schema["properties"]["document"],
        json!({"components": {"schemas": {"Pets": {"type": "array", "items": {"type": "string"}}}}})
    );
    let tags = world.names("/apis/pets/operations/listPets/tags").await;
    assert_eq!(tags, ["all-pets", "Reading"]);
    assert_eq!(
        world.changes().await,
        ["api_operations", "api_schemas", "apis"]
    );
    assert_eq!(
        report(&world).await,
        json!({"added": ["listPets", "addPet", "getPet"], "changed": [], "removed": [], "unchanged": 0})
    );
}

#[tokio::test]
async fn what_the_caller_gives_counts_more_than_the_document() {
    let world = World::new().await;
    world
        .put(
            "/apis/pets",
            body(json!({
                "path": "pets", "format": "openapi", "value": PETS, "displayName": "Mine",
                "serviceUrl": "https://mine.example.org", "translateRequiredQueryParameters": "query"
            })),
        )
        .await
        .expect(201);
    let api = world.get("/apis/pets").await.expect(200);
    assert_eq!(api["properties"]["displayName"], "Mine");
    assert_eq!(api["properties"]["serviceUrl"], "https://mine.example.org");
    let list = world
        .get("/apis/pets/operations/listPets")
        .await
        .expect(200);
    assert_eq!(list["properties"]["urlTemplate"], "/pets");
    assert_eq!(
        list["properties"]["request"]["queryParameters"][0]["name"],
        "limit"
    );
}

#[tokio::test]
async fn importing_again_keeps_the_operations_that_stay_with_their_policies() {
    let world = World::new().await;
    world.put("/apis/pets", import(PETS)).await.expect(201);
    let policy = body(
        json!({"format": "xml", "value": "<policies><inbound><base /></inbound><backend><base /></backend><outbound><base /></outbound><on-error><base /></on-error></policies>"}),
    );
    for operation in ["listPets", "addPet", "getPet"] {
        world
            .put(
                &format!("/apis/pets/operations/{operation}/policies/policy"),
                policy.clone(),
            )
            .await
            .expect(201);
    }
    let before = operations(&world).await;
    world.changes().await;

    // The same again changes nothing.
    world.put("/apis/pets", import(PETS)).await.expect(200);
    assert_eq!(operations(&world).await, before);
    assert_eq!(world.changes().await, ["apis"]);
    assert_eq!(
        report(&world).await,
        json!({"added": [], "changed": [], "removed": [], "unchanged": 3})
    );

    // Two exchange their URLs, one has another id, one is new; none but getPet goes.
    let changed = PETS
        .replace("operationId: addPet", "operationId: createPet")
        .replace("  /pets/{id}:", "  /cats/{id}:")
        .replace("get: {operationId: getPet", "get: {operationId: getCat")
        .replace("description: The pets", "description: All the pets");
    world.put("/apis/pets", import(&changed)).await.expect(200);
    let id = |name: &str| {
        before
            .iter()
            .find(|(n, ..)| n == name)
            .map(|(_, id, _)| *id)
    };
    let after = operations(&world).await;
    let names: Vec<_> = after
        .iter()
        .map(|(name, _, rev)| (name.as_str(), *rev))
        .collect();
    assert_eq!(names, [("addPet", 1), ("getCat", 1), ("listPets", 2)]);
    assert_eq!(Some(after[0].1), id("addPet"));
    assert_eq!(Some(after[2].1), id("listPets"));
    world
        .get("/apis/pets/operations/addPet/policies/policy")
        .await
        .expect(200);
    world
        .get("/apis/pets/operations/getCat/policies/policy")
        .await
        .expect(404);
    assert_eq!(
        world.changes().await,
        ["api_operations", "apis", "operation_policies"]
    );
    assert_eq!(
        report(&world).await,
        json!({"added": ["getCat"], "changed": ["listPets"], "removed": ["getPet"], "unchanged": 1})
    );
}

#[tokio::test]
async fn operations_may_exchange_their_urls() {
    let world = World::new().await;
    let document = |a: &str, b: &str| {
        import(&format!(
            "{{\"openapi\": \"3.0.0\", \"info\": {{\"title\": \"T\", \"version\": \"1\"}}, \"paths\": {{\
            \"/{a}\": {{\"get\": {{\"operationId\": \"one\"}}}}, \"/{b}\": {{\"get\": {{\"operationId\": \"two\"}}}}}}}}"
        ))
    };
    world
        .put("/apis/pets", document("x", "y"))
        .await
        .expect(201);
    let before = operations(&world).await;
    world
        .put("/apis/pets", document("y", "x"))
        .await
        .expect(200);
    let after = operations(&world).await;
    let ids = |rows: &[(String, uuid::Uuid, i64)]| rows.iter().map(|row| row.1).collect::<Vec<_>>();
    assert_eq!(ids(&after), ids(&before));
    let one = world.get("/apis/pets/operations/one").await.expect(200);
    assert_eq!(one["properties"]["urlTemplate"], "/y");
}

#[tokio::test]
async fn a_bad_document_changes_nothing_and_names_line_and_column() {
    let world = World::new().await;
    let answer = world
        .put(
            "/apis/pets",
            import(&PETS.replace("in: path", "in: nowhere")),
        )
        .await
        .expect(400);
    assert_eq!(
        answer["error"]["details"],
        json!([
            {"code": "ValidationError", "target": "value", "message": "value line 19, column 33: paths./pets/{id}.parameters[0].in: must be one of path, query, header, cookie."},
            {"code": "ValidationError", "target": "value", "message": "value line 20, column 10: paths./pets/{id}.get: The path parameter 'id' is not defined: neither the operation nor its path has a parameter 'id' in 'path'."}
        ])
    );
    world.get("/apis/pets").await.expect(404);
    for (properties, targets) in [
        (json!({"format": "openapi"}), ["value"]),
        (json!({"value": PETS}), ["format"]),
        (json!({"format": "raml", "value": "x"}), ["format"]),
        (
            json!({"format": "openapi-link", "value": "https://example.org"}),
            ["format"],
        ),
        (
            json!({"format": "wadl-xml", "value": "<application />"}),
            ["value"],
        ),
        (
            json!({"translateRequiredQueryParameters": "query"}),
            ["translateRequiredQueryParameters"],
        ),
        (
            json!({"format": "openapi", "value": PETS, "translateRequiredQueryParameters": "both"}),
            ["translateRequiredQueryParameters"],
        ),
    ] {
        let mut properties = properties;
        properties["path"] = json!("pets");
        assert_eq!(
            world.put("/apis/pets", body(properties)).await.targets(),
            targets
        );
    }
}

#[tokio::test]
async fn a_wsdl_becomes_a_soap_api() {
    let world = World::new().await;
    let document = include_str!("../../../description/tests/documents/calculator.wsdl");
    world
        .put(
            "/apis/sums",
            body(json!({"path": "sums", "format": "wsdl", "value": document, "apiType": "soap",
                        "wsdlSelector": {"wsdlServiceName": "Calculator", "wsdlEndpointName": "Plain"}})),
        )
        .await
        .expect(201);
    let api = world.get("/apis/sums").await.expect(200);
    assert_eq!(api["properties"]["type"], "soap");
    assert_eq!(api["properties"]["displayName"], "Calculator");
    assert_eq!(world.names("/apis/sums/operations").await.len(), 2);
}

#[tokio::test]
async fn two_thousand_operations_are_imported_at_once() {
    let world = World::new().await;
    let paths: serde_json::Map<String, Value> = (0..2000)
        .map(|at| {
            let operation = json!({"operationId": format!("get-{at}"), "responses": {"200": {"description": "OK"}}});
            (format!("/things/{at}"), json!({"get": operation}))
        })
        .collect();
    let document =
        json!({"openapi": "3.1.0", "info": {"title": "Many", "version": "1"}, "paths": paths});
    let started = std::time::Instant::now();
    world
        .put("/apis/pets", import(&document.to_string()))
        .await
        .expect(201);
    let first = started.elapsed();
    assert_eq!(operations(&world).await.len(), 2000);
    let started = std::time::Instant::now();
    world
        .put("/apis/pets", import(&document.to_string()))
        .await
        .expect(200);
    println!("{first:?}, again {:?}", started.elapsed());
    assert_eq!(report(&world).await["unchanged"], 2000);
}

#[tokio::test]
async fn a_copied_revision_is_exported_as_the_document_it_comes_from_until_it_differs() {
    let world = World::new().await;
    world.put("/apis/pets", import(PETS)).await.expect(201);
    for (revision, more) in [("2", json!({})), ("3", json!({"description": "Other."}))] {
        let mut copy = json!({"path": "pets", "sourceApiId": "/apis/pets"});
        for (name, value) in more.as_object().expect("members") {
            copy[name] = value.clone();
        }
        world
            .put(&format!("/apis/pets;rev={revision}"), body(copy))
            .await
            .expect(201);
    }
    let exported = async |revision: &str| {
        let id: uuid::Uuid = sqlx::query_scalar("SELECT id FROM apis WHERE revision_name = $1")
            .bind(format!("pets;rev={revision}"))
            .fetch_one(&world.pool)
            .await
            .expect("a revision");
        let (format, _) = kinds::export::format("openapi-link").expect("a format");
        let mut conn = world.pool.acquire().await.expect("a connection");
        kinds::export::document(&mut conn, id, format, "http://gateway.example.org")
            .await
            .expect("a document")
            .text
    };
    assert_eq!(exported("2").await, PETS);
    assert_ne!(exported("3").await, PETS);
    let report = world.get("/apis/pets;rev=3/importReport").await.expect(200);
    assert_eq!(report["added"], json!(["listPets", "addPet", "getPet"]));
}
