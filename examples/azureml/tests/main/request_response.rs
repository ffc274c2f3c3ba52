//! The request-response service.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::surroundings::{API_KEY, SERVICE, Sample, WORKSPACE, bad_argument, refusal};

const EXECUTE: &str = "execute?api-version=2.0&details=true";

fn body(column_names: Value, values: Value) -> String {
    json!({ "Inputs": { "input1": { "ColumnNames": column_names, "Values": values } }, "GlobalParameters": {} })
        .to_string()
}

fn guides_body() -> String {
    body(json!(["Col2"]), json!([["This is a good day"]]))
}

fn unauthorized(message: &str) -> Value {
    refusal(
        "Unauthorized",
        "Request is unauthorized to access resource.",
        "ScoreRequestUnauthorized",
        message,
    )
}

#[tokio::test]
async fn the_guides_call_gives_the_guides_row() {
    let sample = Sample::start(&[]);
    let (status, answer) = sample.json(Method::POST, EXECUTE, guides_body()).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        answer,
        json!({ "Results": { "output1": { "type": "table", "value": {
            "ColumnNames": [
                "Col2",
                "Col2_HashingFeature.0", "Col2_HashingFeature.1", "Col2_HashingFeature.2", "Col2_HashingFeature.3",
                "Col2_HashingFeature.4", "Col2_HashingFeature.5", "Col2_HashingFeature.6", "Col2_HashingFeature.7",
            ],
            "ColumnTypes": ["String", "Int32", "Int32", "Int32", "Int32", "Int32", "Int32", "Int32", "Int32"],
            "Values": [["This is a good day", "1", "1", "2", "2", "0", "2", "0", "1"]],
        } } } })
    );
}

#[tokio::test]
async fn without_details_the_column_types_are_left_out() {
    let sample = Sample::start(&[]);
    let (_, mut detailed) = sample.json(Method::POST, EXECUTE, guides_body()).await;
    detailed["Results"]["output1"]["value"]
        .as_object_mut()
        .unwrap()
        .remove("ColumnTypes");
    for path in [
        "execute?api-version=2.0&details=false",
        "execute?api-version=2.0",
    ] {
        assert_eq!(
            sample.json(Method::POST, path, guides_body()).await,
            (StatusCode::OK, detailed.clone())
        );
    }
}

#[tokio::test]
async fn every_row_is_answered_in_its_order_with_its_other_columns() {
    let sample = Sample::start(&[]);
    let rows: Vec<Value> = (0..1_000)
        .map(|row| json!([row, format!("row number {row}")]))
        .collect();
    let (status, answer) = sample
        .json(
            Method::POST,
            EXECUTE,
            body(json!(["Id", "Col2"]), json!(rows)),
        )
        .await;
    assert_eq!(status, StatusCode::OK);
    let values = answer["Results"]["output1"]["value"]["Values"]
        .as_array()
        .unwrap();
    let own: Vec<Value> = values.iter().map(|row| json!([row[0], row[1]])).collect();
    let expected: Vec<Value> = (0..1_000)
        .map(|row| json!([row.to_string(), format!("row number {row}")]))
        .collect();
    assert_eq!(own, expected);
    for row in values {
        let counts: u32 = row.as_array().unwrap()[2..]
            .iter()
            .map(|n| n.as_str().unwrap().parse::<u32>().unwrap())
            .sum();
        assert_eq!(counts, 3 + 2, "{row}");
    }
}

#[tokio::test]
async fn wrong_input_is_refused_with_what_is_wrong() {
    let sample = Sample::start(&[]);
    let bad_table = |message| {
        refusal(
            "BadUserArgument",
            "Invalid user argument provided.",
            "InputParseError",
            message,
        )
    };
    for (path, body, expected) in [
        (
            EXECUTE,
            String::new(),
            bad_argument("RequestIsEmpty", "No request body provided."),
        ),
        (
            EXECUTE,
            "{\"Inputs\": nonsense}".to_owned(),
            bad_argument(
                "RequestBodyInvalid",
                "Inputs: expected ident at line 1 column 13",
            ),
        ),
        (
            EXECUTE,
            format!("{} trailing", guides_body()),
            bad_argument(
                "RequestBodyInvalid",
                &format!(
                    "trailing characters at line 1 column {}",
                    guides_body().len() + 2
                ),
            ),
        ),
        (
            EXECUTE,
            json!({ "Inputs": { "input1": { "ColumnNames": ["Col2"], "Values": "x" } } })
                .to_string(),
            bad_argument(
                "RequestBodyInvalid",
                "Inputs.input1.Values: invalid type: string \"x\", expected a sequence at line 1 column 56",
            ),
        ),
        (
            EXECUTE,
            json!({ "GlobalParameters": {} }).to_string(),
            bad_argument(
                "MissingRequestInput",
                "The web service expects an input, but Inputs.input1 was not provided.",
            ),
        ),
        (
            EXECUTE,
            json!({ "Inputs": {
                "input1": { "ColumnNames": ["Col2"], "Values": [] },
                "input2": { "ColumnNames": ["Col2"], "Values": [] },
            } })
            .to_string(),
            bad_argument(
                "InvalidInputNames",
                "The service has no input named 'input2'; its only input is 'input1'.",
            ),
        ),
        (
            EXECUTE,
            json!({ "Inputs": {}, "GlobalParameters": { "Bits": 4 } }).to_string(),
            bad_argument(
                "UnexpectedParameter",
                "GlobalParameters has 'Bits', but this service has no parameters.",
            ),
        ),
        (
            EXECUTE,
            body(json!(["Text"]), json!([["a"]])),
            bad_table("The input has no column named 'Col2'. Its columns are: 'Text'."),
        ),
        (
            EXECUTE,
            body(json!(["Col2"]), json!([["a"], []])),
            bad_table("Row 2 has 0 values, but there are 1 columns."),
        ),
        (
            "execute?api-version=2.0&details=maybe",
            guides_body(),
            bad_argument(
                "InvalidQueryParameter",
                "Invalid query parameter 'details'. It is true or false.",
            ),
        ),
        (
            "execute?api-version=1.0",
            guides_body(),
            bad_argument(
                "BadVersionCall",
                "Invalid version '1.0' in the query parameter 'api-version'; it is 2.0.",
            ),
        ),
        (
            "execute",
            guides_body(),
            bad_argument(
                "BadVersionCall",
                "The query parameter 'api-version' is missing; it is 2.0.",
            ),
        ),
    ] {
        assert_eq!(
            sample.json(Method::POST, path, body.clone()).await,
            (StatusCode::BAD_REQUEST, expected),
            "{path} {body}"
        );
    }
}

#[tokio::test]
async fn only_the_services_key_admits() {
    let sample = Sample::start(&[]);
    let url = format!("{}/workspaces/{WORKSPACE}/services/{SERVICE}", sample.url);
    let missing =
        "No credentials provided. Send the service's key as 'Authorization: Bearer <key>'.";
    let wrong = "Invalid credentials provided.";
    for (authorization, message) in [
        (None, missing),
        (Some("Bearer other".to_owned()), wrong),
        (Some("Bearer ".to_owned()), missing),
        (Some(format!("Basic {API_KEY}")), missing),
        (Some(API_KEY.to_owned()), missing),
    ] {
        for (method, path) in [
            (Method::POST, "execute"),
            (Method::POST, "jobs"),
            (Method::POST, "jobs/1/start"),
            (Method::GET, "jobs/1"),
            (Method::DELETE, "jobs/1"),
        ] {
            let mut request =
                reqwest::Client::new().request(method, format!("{url}/{path}?api-version=2.0"));
            if let Some(authorization) = &authorization {
                request = request.header("Authorization", authorization);
            }
            let answer = request.body(guides_body()).send().await.unwrap();
            assert_eq!(
                answer.status(),
                StatusCode::UNAUTHORIZED,
                "{path} {authorization:?}"
            );
            assert_eq!(answer.headers()["WWW-Authenticate"], "Bearer");
            assert_eq!(answer.json::<Value>().await.unwrap(), unauthorized(message));
        }
    }
}

#[tokio::test]
async fn other_workspaces_services_addresses_and_methods_are_not_there() {
    let sample = Sample::start(&[]);
    let not_found = |code, message: &str| refusal("NotFound", "Resource not found.", code, message);
    for (method, path, status, expected) in [
        (
            Method::POST,
            "/workspaces/w2/services/s1/execute?api-version=2.0",
            StatusCode::NOT_FOUND,
            not_found("WorkspaceNotFound", "Workspace 'w2' not found."),
        ),
        (
            Method::POST,
            "/workspaces/w1/services/s2/execute?api-version=2.0",
            StatusCode::NOT_FOUND,
            not_found(
                "WebServiceIdNotFoundInWorkspace",
                "Web service 's2' not found in this workspace.",
            ),
        ),
        (
            Method::GET,
            "/workspaces/w1",
            StatusCode::NOT_FOUND,
            not_found("ResourceNotFound", "There is nothing at /workspaces/w1."),
        ),
        (
            Method::GET,
            "/workspaces/w1/services/s1/execute?api-version=2.0",
            StatusCode::METHOD_NOT_ALLOWED,
            refusal(
                "MethodNotAllowed",
                "The method is not allowed for this resource.",
                "MethodNotAllowed",
                "GET is not allowed for /workspaces/w1/services/s1/execute.",
            ),
        ),
    ] {
        let request = reqwest::Client::new().request(method, format!("{}{path}", sample.url));
        let answer = request
            .bearer_auth(API_KEY)
            .body(guides_body())
            .send()
            .await
            .unwrap();
        assert_eq!(
            (answer.status(), answer.json::<Value>().await.unwrap()),
            (status, expected)
        );
    }
}

#[tokio::test]
async fn bodies_over_the_limit_are_refused() {
    let sample = Sample::start(&["--max-body-bytes", "1000"]);
    let (status, answer) = sample.json(Method::POST, EXECUTE, "x".repeat(1_001)).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(
        answer,
        refusal(
            "PayloadTooLarge",
            "The request body is too large.",
            "RequestBodyTooLarge",
            "The body has more than 1000 bytes; send large tables through the batch service.",
        )
    );
    assert_eq!(
        sample
            .call(Method::POST, EXECUTE, guides_body())
            .await
            .status(),
        StatusCode::OK
    );
}

#[tokio::test]
async fn the_callers_request_id_comes_back_and_health_needs_no_key() {
    let sample = Sample::start(&[]);
    let request = reqwest::Client::new().get(format!("{}/healthz", sample.url));
    let answer = request
        .header("x-ms-request-id", "mine")
        .send()
        .await
        .unwrap();
    assert_eq!(
        (answer.status(), &answer.headers()["x-ms-request-id"]),
        (StatusCode::OK, &"mine".parse().unwrap())
    );
    let unasked = sample.call(Method::POST, EXECUTE, guides_body()).await;
    assert_eq!(unasked.headers()["x-ms-request-id"].len(), 36);
}

#[tokio::test]
async fn a_request_to_end_is_followed_in_good_order() {
    let mut sample = Sample::start(&[]);
    assert_eq!(
        sample
            .call(Method::POST, EXECUTE, guides_body())
            .await
            .status(),
        StatusCode::OK
    );
    assert_eq!(sample.program.terminate(), Some(0));
}
