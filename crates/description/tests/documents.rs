//! Documents in and out.
#![expect(clippy::expect_used, reason = "a test says what it expects")]

use description::{
    ApiType, Description, Format, KeyNames, Operation, Options, Parameter, Problem, RequiredQuery,
    read, write,
};
use proptest::prelude::*;
use serde_json::{Value, json};

const PETS: &str = include_str!("documents/pets.yaml");
const OLD_PETS: &str = include_str!("documents/pets.swagger.json");
const CALCULATOR: &str = include_str!("documents/calculator.wsdl");
const MANAGEMENT: &str = include_str!("../../../openapi/management.json");

fn options() -> Options {
    Options {
        schema_id: "types".into(),
        ..Options::default()
    }
}

fn read_as(text: &str, format: Format) -> Description {
    read(text, format, &options()).expect("a good document")
}

fn problems(text: &str) -> Vec<String> {
    read(text, Format::Openapi, &options())
        .expect_err("a bad document")
        .iter()
        .map(Problem::to_string)
        .collect()
}

fn json_of(value: &impl serde::Serialize) -> Value {
    serde_json::to_value(value).expect("plain data")
}

fn named<'a>(description: &'a Description, name: &str) -> &'a Operation {
    description
        .operations
        .iter()
        .find(|operation| operation.name == name)
        .expect("an operation of that name")
}

#[test]
fn the_head_of_a_document_becomes_the_api() {
    let pets = Description {
        operations: Vec::new(),
        schemas: serde_json::Map::new(),
        ..read_as(PETS, Format::Openapi)
    };
    assert_eq!(
        pets,
        Description {
            display_name: "Pets".into(),
            description: Some("Buys and sells pets.\n".into()),
            service_url: Some("https://eu.example.org/pets/v1".into()),
            path_suggestion: Some("pets/v1".into()),
            protocols: vec!["https".into(), "http".into()],
            version: Some("1.0".into()),
            terms_of_service_url: Some("https://example.org/terms".into()),
            contact: Some(json!({"name": "Pet desk", "email": "pets@example.org"})),
            license: Some(json!({"name": "MIT"})),
            ..Description::default()
        }
    );
}

#[test]
fn an_operation_has_the_shape_of_the_contract() {
    let pets = read_as(PETS, Format::Openapi);
    assert_eq!(
        json_of(named(&pets, "listPets")),
        json!({
            "name": "listPets",
            "displayName": "Lists pets",
            "method": "GET",
            "urlTemplate": "/pets?tenant={tenant}&limit={limit}",
            "templateParameters": [
                {"name": "tenant", "type": "string", "required": true},
                {"name": "limit", "description": "How many", "type": "integer", "defaultValue": "10",
                 "required": true, "values": ["10", "50"]}
            ],
            "request": {
                "queryParameters": [
                    {"name": "kind", "type": "string", "values": ["cat", "dog"], "schemaId": "types", "typeName": "Kind"}
                ],
                "headers": [
                    {"name": "trace", "type": "string", "required": true, "examples": {"default": {"value": "abc"}}}
                ],
                "representations": []
            },
            "responses": [
                {"statusCode": 200, "description": "The pets",
                 "headers": [{"name": "X-Total", "description": "All of them", "type": "integer"}],
                 "representations": [
                    {"contentType": "application/json", "schemaId": "types", "typeName": "listPets-200"}]},
                {"statusCode": 400, "description": "Wrong", "headers": [],
                 "representations": [
                    {"contentType": "application/problem+json", "schemaId": "types", "typeName": "Problem"}]}
            ],
            "tags": ["pets", "reading"]
        })
    );
    assert_eq!(
        pets.schemas.get("listPets-200"),
        Some(&json!({"type": "array", "items": {"$ref": "#/components/schemas/Pet"}}))
    );
}

#[test]
fn operations_get_unique_names() {
    let pets = read_as(PETS, Format::Openapi);
    let names: Vec<_> = pets
        .operations
        .iter()
        .map(|o| (o.name.as_str(), o.display_name.as_str()))
        .collect();
    assert_eq!(
        names,
        [
            ("listPets", "Lists pets"),
            ("post-pets", "POST /pets"),
            ("get-a-pet", "Get a pet!"),
            ("get-a-pet-1", "get-a-pet"),
        ]
    );
}

#[test]
fn forms_become_form_parameters() {
    let pets = read_as(PETS, Format::Openapi);
    let request = json_of(&named(&pets, "post-pets").request);
    assert_eq!(
        request["representations"],
        json!([
            {"contentType": "application/json", "schemaId": "types", "typeName": "Pet",
             "examples": {"rex": {"value": {"name": "Rex"}}}},
            {"contentType": "application/x-www-form-urlencoded", "formParameters": [
                {"name": "name", "description": "Its name", "type": "string", "required": true},
                {"name": "age", "type": "integer"}]}
        ])
    );
}

#[test]
fn required_query_parameters_stay_apart_on_request_and_the_service_url_can_be_given() {
    let pets = read(
        PETS,
        Format::Openapi,
        &Options {
            translate_required_query_parameters: RequiredQuery::Query,
            service_url_override: Some("https://other.example".into()),
            ..options()
        },
    )
    .expect("a good document");
    assert_eq!(pets.service_url.as_deref(), Some("https://other.example"));
    let list = named(&pets, "listPets");
    assert_eq!(list.url_template, "/pets");
    assert_eq!(list.template_parameters, []);
    let request = list.request.clone().expect("a request");
    let names: Vec<_> = request
        .query_parameters
        .iter()
        .map(|p| p.name.as_str())
        .collect();
    assert_eq!(names, ["tenant", "limit", "kind"]);
}

#[test]
fn openapi_2_is_read_alike() {
    let pets = read_as(OLD_PETS, Format::SwaggerJson);
    assert_eq!(
        pets.service_url.as_deref(),
        Some("https://example.org/pets")
    );
    assert_eq!(pets.protocols, ["http", "https"]);
    assert_eq!(
        Value::from(pets.schemas.clone()),
        json!({"Pet": {"type": "object", "properties": {"parent": {"$ref": "#/components/schemas/Pet"}}}})
    );
    assert_eq!(
        json_of(&pets.operations),
        json!([
            {"name": "addPet", "displayName": "addPet", "method": "POST", "urlTemplate": "/pets",
             "templateParameters": [],
             "request": {"description": "The pet",
                "queryParameters": [{"name": "verbose", "type": "boolean", "defaultValue": "false"}],
                "headers": [],
                "representations": [{"contentType": "application/json", "schemaId": "types", "typeName": "Pet"}]},
             "responses": [{"statusCode": 200, "description": "Added", "headers": [], "representations": [
                {"contentType": "application/json", "schemaId": "types", "typeName": "Pet",
                 "examples": {"default": {"value": {"name": "Rex"}}}},
                {"contentType": "application/xml", "schemaId": "types", "typeName": "Pet"}]}],
             "tags": []},
            {"name": "setPicture", "displayName": "setPicture", "method": "PUT", "urlTemplate": "/pets/{id}/picture",
             "templateParameters": [{"name": "id", "type": "integer", "required": true}],
             "request": {"queryParameters": [], "headers": [], "representations": [
                {"contentType": "multipart/form-data", "formParameters": [{"name": "file", "type": "file", "required": true}]}]},
             "responses": [{"statusCode": 204, "description": "Set", "headers": [], "representations": []}],
             "tags": []}
        ])
    );
}

#[test]
fn soap_operations_are_passed_through_by_their_action() {
    let sums = read_as(CALCULATOR, Format::Wsdl);
    assert_eq!(sums.api_type, ApiType::Soap);
    assert_eq!(sums.display_name, "Calculator");
    assert_eq!(
        sums.service_url.as_deref(),
        Some("http://example.org/sums.asmx")
    );
    let found: Vec<_> = sums
        .operations
        .iter()
        .map(|o| {
            (
                o.name.as_str(),
                o.url_template.as_str(),
                o.responses[0].status_code,
            )
        })
        .collect();
    assert_eq!(
        found,
        [
            ("Add", "/?soapAction=http://example.org/sums%23Add", 200),
            ("Log", "/?soapAction=Log", 202),
        ]
    );
    assert_eq!(
        sums.operations[0].description.as_deref(),
        Some("Adds two numbers.")
    );
    let request = sums.operations[0].request.clone().expect("a request");
    assert_eq!(
        json_of(&request.headers),
        json!([{"name": "SOAPAction", "type": "string", "required": true,
                "values": ["\"http://example.org/sums#Add\""], "defaultValue": "\"http://example.org/sums#Add\""}])
    );
    assert_eq!(request.representations[0].type_name.as_deref(), Some("Add"));

    let twelve = read(
        CALCULATOR,
        Format::Wsdl,
        &Options {
            wsdl_service: Some("Calculator".into()),
            wsdl_endpoint: Some("Twelve".into()),
            ..options()
        },
    )
    .expect("a good document");
    assert_eq!(
        twelve.service_url.as_deref(),
        Some("https://example.org/sums12")
    );
    let request = twelve.operations[0].request.clone().expect("a request");
    assert_eq!(
        request.representations[0].content_type,
        "application/soap+xml"
    );
}

#[test]
fn errors_of_a_wsdl_name_their_place() {
    let text = CALCULATOR.replace(
        "type=\"tns:Sums\">\n    <soap:",
        "type=\"tns:Other\">\n    <soap:",
    );
    let found = read(&text, Format::Wsdl, &options()).expect_err("a bad document");
    assert_eq!(
        found,
        [Problem {
            line: 17,
            column: 3,
            message: "The portType 'tns:Other' does not exist in this document.".into(),
            path: "definitions/binding[Sums11]".into()
        }]
    );
    let found = read("<a>\n <b>\n</a>", Format::Wsdl, &options()).expect_err("no XML");
    assert_eq!((found[0].line, found[0].column), (3, 1));
}

#[test]
fn what_is_written_is_read_as_the_same() {
    let mut odd = read_as(PETS, Format::Openapi);
    let id = |name: &str| Parameter {
        name: name.into(),
        kind: "string".into(),
        required: Some(true),
        ..Parameter::default()
    };
    for (name, method, template, parameters) in [
        ("purge", "PURGE", "/pets", vec![]),
        ("fixed", "GET", "/pets?api-version=1&x={x}", vec![id("x")]),
        ("another", "GET", "/pets?only={only}", vec![id("only")]),
        ("all", "GET", "/files/{*rest}", vec![id("rest")]),
    ] {
        odd.operations.push(Operation {
            name: name.into(),
            display_name: "on: - \u{7f}\u{2028} # é \"".into(),
            method: method.into(),
            url_template: template.into(),
            template_parameters: parameters,
            ..Operation::default()
        });
    }
    for document in [
        odd,
        read_as(OLD_PETS, Format::SwaggerJson),
        read_as(CALCULATOR, Format::Wsdl),
        read_as(MANAGEMENT, Format::OpenapiJson),
    ] {
        // Once written, 3.1 is 3.0 and SOAP is HTTP; from then on nothing changes.
        let text = write(&document, Format::OpenapiJson).expect("can be written");
        let document = read_as(&text, Format::OpenapiJson);
        for format in [Format::Openapi, Format::OpenapiJson] {
            let text = write(&document, format).expect("can be written");
            assert!(
                read_as(&text, format) == document,
                "{format:?}: {}",
                document.display_name
            );
        }
    }
}

#[test]
fn what_is_written_is_what_was_read() {
    let subscription_key = Some(KeyNames {
        header: "X-Key".into(),
        query: "key".into(),
    });
    let pets = Description {
        subscription_key: subscription_key.clone(),
        ..read_as(PETS, Format::Openapi)
    };
    for format in [Format::Openapi, Format::OpenapiJson] {
        let text = write(&pets, format).expect("can be written");
        assert_eq!(json_of(&read_as(&text, format)), json_of(&pets), "{text}");
    }
    let pets = Description {
        subscription_key,
        ..read_as(OLD_PETS, Format::SwaggerJson)
    };
    let text = write(&pets, Format::SwaggerJson).expect("can be written");
    let mut wanted = json_of(&pets);
    // A file is a string in version 3, in whose terms a description is.
    wanted["operations"][1]["request"]["representations"][0]["formParameters"][0]["type"] =
        json!("string");
    assert_eq!(
        json_of(&read_as(&text, Format::SwaggerJson)),
        wanted,
        "{text}"
    );
}

#[test]
fn newer_schemas_are_written_in_the_terms_of_3_0() {
    let text = r##"{"openapi": "3.1.0", "info": {"title": "T", "version": "1"}, "paths": {}, "components": {"schemas": {
        "A": {"type": ["string", "null"], "const": "x"}, "B": {"type": ["integer", "string"]},
        "C": {"type": "number", "exclusiveMinimum": 0}}}}"##;
    let written =
        write(&read_as(text, Format::OpenapiJson), Format::OpenapiJson).expect("can be written");
    let written: Value = serde_json::from_str(&written).expect("JSON");
    assert_eq!(
        written["components"]["schemas"],
        json!({"A": {"type": "string", "nullable": true, "enum": ["x"]},
               "B": {"anyOf": [{"type": "integer"}, {"type": "string"}]},
               "C": {"type": "number", "minimum": 0, "exclusiveMinimum": true}})
    );
}

#[test]
fn every_problem_names_line_column_and_path() {
    assert_eq!(
        problems(
            "openapi: 3.0.0\ninfo: {version: '1'}\npaths:\n  pets: {}\n  /a/{b}:\n    get:\n      parameters:\n        - {name: x, in: nowhere}\n        - {in: query}\n        - $ref: '#/components/parameters/none'\n        - $ref: 'other.yaml#/x'\n      responses:\n        abc: {}\n        200: [1]\n"
        ),
        [
            "line 2, column 7: info.title: is required",
            "line 4, column 3: paths.pets: A path must begin with '/'.",
            "line 8, column 25: paths./a/{b}.get.parameters[0].in: must be one of path, query, header, cookie",
            "line 9, column 11: paths./a/{b}.get.parameters[1].name: is required",
            "line 10, column 17: paths./a/{b}.get.parameters[2]: '#/components/parameters/none' does not exist.",
            "line 11, column 17: paths./a/{b}.get.parameters[3]: 'other.yaml#/x' lies outside the document; only references inside it are read. Bundle the documents into one.",
            "line 7, column 7: paths./a/{b}.get: The path parameter 'b' is not defined: neither the operation nor its path has a parameter 'b' in 'path'.",
            "line 13, column 9: paths./a/{b}.get.responses.abc: 'abc' must be a status code, a range such as 4XX, or 'default'.",
            "line 14, column 14: paths./a/{b}.get.responses.200: must be an object, not a list",
        ]
    );
    assert_eq!(
        problems("{\n \"openapi\": \"4.0.0\"}"),
        ["line 2, column 13: openapi: The version '4.0.0' is not one of 2.0, 3.0 and 3.1."]
    );
    assert_eq!(
        problems("{\"openapi\": \"3.0.0\",\n \"é\": 1, \"é\": 2}"),
        ["line 2, column 10: The key 'é' is given twice."]
    );
    assert_eq!(problems("{\"a\": tru}").len(), 1);
    for text in ["{\"a\": \"x\\u0000\"}", "a: \"x\\0\"", "\"x\\0\": 1"] {
        assert!(
            problems(text)[0].ends_with("This text holds the character U+0000."),
            "{text}"
        );
    }
    assert_eq!(
        problems("- 1"),
        ["line 1, column 1: An OpenAPI document is an object; this is a list."]
    );
    assert_eq!(problems(""), ["line 1, column 1: The document is empty."]);
    assert!(
        problems("a: [1,\nb: 2")[0].starts_with("line 2"),
        "{:?}",
        problems("a: [1,\nb: 2")
    );
}

#[test]
fn two_operations_of_one_url_are_a_problem() {
    let text = "openapi: 3.0.0\ninfo: {title: T}\npaths:\n  /a: {get: {}}\n  /A: {get: {}}\n";
    assert_eq!(
        problems(text),
        [
            "line 5, column 3: paths./A.get: 'GET /A' is also the operation 'get-a'; URLs are compared without case."
        ]
    );
}

#[test]
fn references_in_circles_and_bombs_end() {
    let text = "openapi: 3.0.0\ninfo: {title: T}\npaths:\n  /a: {$ref: '#/x/a'}\nx:\n  a: {$ref: '#/x/b'}\n  b: {$ref: '#/x/a'}\n";
    assert_eq!(
        problems(text),
        [
            "line 4, column 7: paths./a: This reference leads in a circle or through too many others."
        ]
    );
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let below = format!("*a{}", level - 1);
        bomb.push_str(&format!(
            "a{level}: &a{level} [{}]\n",
            vec![below; 10].join(", ")
        ));
    }
    assert!(problems(&bomb)[0].ends_with("The document has more than 2000000 values."));
    assert_eq!(problems(&"[".repeat(100_000)).len(), 1);
    let deep = format!("a: {}1{}", "[".repeat(200), "]".repeat(200));
    assert!(problems(&deep)[0].contains("nested deeper than 100"));
    assert!(problems(&format!("{{\"a\": {}", "[".repeat(100_000))).len() == 1);
    let deep = format!("{{\"a\": {}1{}}}", "[".repeat(5000), "]".repeat(5000));
    assert!(problems(&deep)[0].contains("nested deeper than 100"));
}

#[test]
fn merge_keys_and_aliases_are_followed() {
    let text = "openapi: 3.0.0\ninfo: &info {title: T, version: '1'}\nx-more: {<<: *info}\npaths:\n  /a:\n    get: &get {summary: S}\n    put: {<<: *get, summary: P}\n    post: *get\n";
    let found = read_as(text, Format::Openapi);
    let names: Vec<_> = found
        .operations
        .iter()
        .map(|o| o.display_name.as_str())
        .collect();
    assert_eq!(names, ["S", "P", "S"]);
}

#[test]
fn languages_that_are_not_read_are_refused_with_the_reason() {
    for (format, name) in [
        (Format::Wadl, "WADL"),
        (Format::Graphql, "GraphQL"),
        (Format::Odata, "OData"),
        (Format::Grpc, "gRPC"),
    ] {
        let found = read("x", format, &options()).expect_err("not supported");
        assert!(found[0].message.starts_with(name), "{found:?}");
    }
    assert_eq!(
        Format::named("OpenAPI+json-link"),
        Some((Format::OpenapiJson, true))
    );
    assert_eq!(Format::named("raml"), None);
}

#[test]
fn the_management_api_describes_itself() {
    let found = read_as(MANAGEMENT, Format::OpenapiJson);
    assert_eq!(found.display_name, "Portico management API");
    let document: Value = serde_json::from_str(MANAGEMENT).expect("JSON");
    let methods = ["get", "put", "post", "delete", "patch", "head", "options"];
    let wanted = document["paths"]
        .as_object()
        .expect("paths")
        .values()
        .flat_map(|item| methods.iter().filter(|method| item.get(**method).is_some()))
        .count();
    assert_eq!(found.operations.len(), wanted);
}

/// The bound is generous, because other tests run beside; usual is a tenth of it.
#[test]
fn two_thousand_operations_are_read_and_written_within_seconds() {
    let mut pets = read_as(PETS, Format::Openapi);
    let list = named(&pets, "listPets").clone();
    pets.operations = (0..2000)
        .map(|at| Operation {
            name: format!("list-{at}"),
            url_template: format!("/pets{at}?tenant={{tenant}}&limit={{limit}}"),
            ..list.clone()
        })
        .collect();
    let mut elapsed = Vec::new();
    for format in [Format::OpenapiJson, Format::SwaggerJson, Format::Openapi] {
        let text = write(&pets, format).expect("can be written");
        let start = std::time::Instant::now();
        let found = read_as(&text, format);
        elapsed.push((format, text.len(), start.elapsed()));
        assert_eq!(found.operations.len(), 2000);
    }
    println!("{elapsed:?}");
    assert!(
        elapsed.iter().all(|(.., took)| took.as_secs() < 10),
        "{elapsed:?}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_the_reader_panic(
        cuts in proptest::collection::vec((any::<prop::sample::Index>(), "[\\PC\n]{0,6}", 0_usize..40), 1..6),
        which in 0_usize..3,
    ) {
        let (text, format) = [(PETS, Format::Openapi), (OLD_PETS, Format::SwaggerJson), (CALCULATOR, Format::Wsdl)][which];
        let mut chars: Vec<char> = text.chars().collect();
        for (at, insert, remove) in cuts {
            let at = at.index(chars.len());
            let end = (at + remove).min(chars.len());
            chars.splice(at..end, insert.chars());
            if chars.is_empty() { break; }
        }
        let text: String = chars.into_iter().collect();
        if let Err(found) = read(&text, format, &options()) {
            prop_assert!(!found.is_empty());
            prop_assert!(found.iter().all(|p| p.line >= 1 && p.column >= 1 && p.line <= text.lines().count() + 1));
        }
    }

    #[test]
    fn every_string_survives_yaml(text in "\\PC{0,20}", key in "[\\PC\n\t]{1,8}") {
        let mut pets = Description { display_name: format!("x{text}"), ..Description::default() };
        pets.version = Some("1.0".into());
        pets.description = Some(key.clone());
        pets.schemas.insert(key, json!({"type": "string", "example": text}));
        let written = write(&pets, Format::Openapi).expect("can be written");
        prop_assert_eq!(read(&written, Format::Openapi, &options()).map_err(|p| format!("{p:?} in {written}")), Ok(pets));
    }
}
