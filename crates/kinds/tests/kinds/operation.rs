//! `apis/operations`

use crate::world::{World, body};
use engine::{Value, json};

fn operation(template: &str, parameters: &[&str]) -> Value {
    let parameters: Vec<Value> = parameters
        .iter()
        .map(|name| json!({"name": name, "type": "string", "required": true}))
        .collect();
    body(
        json!({"displayName": "Sample", "method": "GET", "urlTemplate": template, "templateParameters": parameters}),
    )
}

#[tokio::test]
async fn the_operations_of_the_journey_are_accepted_and_come_back_as_given() {
    let world = World::new().await;
    let base = "/workspaces/{workspace}/services/{service}";
    let jobs = ["workspace", "service", "jobid", "apiversion"];
    for (name, method, template, parameters) in [
        (
            "rrs",
            "POST",
            format!("{base}/execute?api-version={{apiversion}}&details={{details}}"),
            &["workspace", "service", "apiversion", "details"][..],
        ),
        (
            "bes-submit",
            "POST",
            format!("{base}/jobs?api-version={{apiversion}}"),
            &["workspace", "service", "apiversion"],
        ),
        (
            "bes-start",
            "POST",
            format!("{base}/jobs/{{jobid}}/start?api-version={{apiversion}}"),
            &jobs,
        ),
        (
            "bes-status",
            "GET",
            format!("{base}/jobs/{{jobid}}?api-version={{apiversion}}"),
            &jobs,
        ),
        (
            "bes-delete",
            "DELETE",
            format!("{base}/jobs/{{jobid}}?api-version={{apiversion}}"),
            &jobs,
        ),
    ] {
        let mut given = operation(&template, parameters);
        given["properties"]["method"] = json!(method);
        given["properties"]["responses"] =
            json!([{"statusCode": 200, "description": "OK", "representations": [], "headers": []}]);
        let item = format!("/apis/echo-api/operations/{name}");
        world.put(&item, given.clone()).await.expect(201);
        assert_eq!(
            world.get(&item).await.expect(200)["properties"],
            given["properties"]
        );
    }
}

#[tokio::test]
async fn template_and_parameters_agree_both_ways() {
    let world = World::new().await;
    let item = "/apis/echo-api/operations/sample";
    let targets = async |template: &str, parameters: &[&str]| {
        world
            .put(item, operation(template, parameters))
            .await
            .targets()
    };
    assert_eq!(
        targets("/a/{b}?c={d}", &[]).await,
        ["templateParameters", "templateParameters"]
    );
    assert_eq!(
        targets("/a/{b}", &["b", "c"]).await,
        ["templateParameters[1].name"]
    );
    assert_eq!(targets("/a/{b}/{b}", &["b"]).await, ["urlTemplate"]);
    assert_eq!(targets("/a/{b", &[]).await, ["urlTemplate"]);
    world
        .put(item, operation("/files/{*path}", &["path"]))
        .await
        .expect(201);
}

#[tokio::test]
async fn a_method_and_a_template_lead_to_one_operation() {
    let world = World::new().await;
    let taken = world
        .put(
            "/apis/echo-api/operations/sample",
            operation("/Resource", &[]),
        )
        .await;
    assert_eq!(taken.targets(), ["urlTemplate"]);
    let mut other = operation("/resource", &[]);
    other["properties"]["method"] = json!("purge");
    let created = world
        .put("/apis/echo-api/operations/sample", other)
        .await
        .expect(201);
    assert_eq!(created["properties"]["method"], "PURGE");
}

#[tokio::test]
async fn an_operation_of_a_missing_api_is_not_found() {
    let world = World::new().await;
    let missing = world
        .put("/apis/nowhere/operations/sample", operation("/a", &[]))
        .await
        .expect(404);
    assert_eq!(missing["error"]["message"], "Api not found.");
}

#[tokio::test]
async fn a_deleted_operation_takes_its_policy_along() {
    let world = World::new().await;
    world
        .delete("/apis/echo-api/operations/create-resource")
        .await
        .expect(200);
    assert_eq!(
        world.changes().await,
        ["api_operations", "operation_policies"]
    );
}

/// Clients send what they read, and unset members are read as null.
#[tokio::test]
async fn a_member_that_is_null_is_one_that_is_not_there() {
    let world = World::new().await;
    let properties = |none: Value| {
        json!({"displayName": "Null", "method": "GET", "urlTemplate": "/null", "templateParameters": none,
            "request": {"description": none, "queryParameters": none, "headers": none, "representations": none},
            "responses": [{"statusCode": 200, "headers": none, "representations": none}]})
    };
    let with_nulls = world
        .put(
            "/apis/echo-api/operations/null",
            body(properties(Value::Null)),
        )
        .await
        .expect(201);
    let mut without = properties(Value::Null);
    without["request"] = json!({});
    without["responses"] = json!([{"statusCode": 200}]);
    let without = world
        .put("/apis/echo-api/operations/null", body(without))
        .await
        .expect(200);
    assert_eq!(with_nulls, without);
    let mut wrong = properties(Value::Null);
    wrong["responses"][0]["statusCode"] = Value::Null;
    let refused = world
        .put("/apis/echo-api/operations/null", body(wrong))
        .await;
    assert_eq!(refused.targets(), ["responses[0]"]);
}
