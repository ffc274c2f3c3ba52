//! Expressions from published policy samples, their limits and their errors.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::sync::Arc;

use chrono::{DateTime, Utc};
use policy::expression::{
    Context, Data, Expression, Field, Limits, Map, Part, ResponseData, Side, Type,
};

struct Request;

impl Context for Request {
    fn has(&self, part: Part) -> bool {
        !matches!(part, Part::Product | Part::LastError)
    }

    fn field(&self, field: Field) -> Data {
        match field {
            Field::RequestMethod => "GET".into(),
            Field::RequestIpAddress => "10.0.0.1".into(),
            Field::UrlPath => "/echo/resource".into(),
            Field::UserId => "1".into(),
            Field::UserGroups => Data::list([Data::Group(Arc::new((
                "developers".to_owned(),
                "Developers".to_owned(),
            )))]),
            Field::ResponseStatusCode => 200_i64.into(),
            Field::DeploymentRegion => "West US".into(),
            Field::RequestId => Data::Guid(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef),
            _ => Data::Null,
        }
    }

    fn entry(&self, map: Map, name: &str) -> Option<Vec<String>> {
        self.entries(map)
            .into_iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, values)| values)
    }

    fn entries(&self, map: Map) -> Vec<(String, Vec<String>)> {
        let one = |name: &str, values: &[&str]| {
            (
                name.to_owned(),
                values.iter().map(|value| (*value).to_owned()).collect(),
            )
        };
        match map {
            Map::RequestHeaders => vec![
                one("Accept", &["text/plain", "application/json"]),
                one(
                    "Authorization",
                    &[
                        "Bearer eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.eyJpc3MiOiJtZSIsImF1ZCI6WyJhIiwiYiJdLCJyb2xlcyI6WyJhZG1pbiIsInVzZXIiXX0.",
                    ],
                ),
            ],
            Map::ResponseHeaders => vec![one("Cache-Control", &["public, max-age=60"])],
            Map::MatchedParameters => vec![one("id", &["42"])],
            Map::Query | Map::OriginalQuery => vec![one("q", &["x"])],
        }
    }

    fn body(&self, side: Side, _preserve: bool) -> Option<Arc<[u8]>> {
        Some(match side {
            Side::Request => b"{\"a\":{\"b\":[1,2,3]},\"name\":\"Ada\"}"
                .as_slice()
                .into(),
            Side::Response => b"{\"current\":{\"t\":1},\"minutely\":[],\"hourly\":[5]}"
                .as_slice()
                .into(),
        })
    }

    fn variable(&self, name: &str) -> Option<Data> {
        match name {
            "count" => Some(3_i64.into()),
            "token" => Some("abc".into()),
            "tokenstate" => Some(Data::Response(Arc::new(ResponseData {
                status_code: 200,
                status_reason: "OK".to_owned(),
                headers: vec![("X-A".to_owned(), vec!["1".to_owned()])],
                body: b"{\"active\":true}".as_slice().into(),
            }))),
            _ => None,
        }
    }

    fn now(&self) -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000, 0).unwrap()
    }

    fn random_bits(&self) -> u64 {
        7
    }
}

fn value(source: &str) -> String {
    let expression = Expression::compile(source, &Type::Object)
        .unwrap_or_else(|errors| panic!("{source}: {errors:?}"));
    match expression.evaluate(&Request, Limits::default()) {
        Ok(data) => data.to_text(),
        Err(failure) => failure.message,
    }
}

fn error(source: &str) -> (usize, String) {
    let error = Expression::compile(source, &Type::Object)
        .unwrap_err()
        .remove(0);
    (error.at, error.message)
}

#[test]
fn published_samples_give_their_values() {
    let cases: &[(&str, &str)] = &[
        (
            "@(context.Request.Headers.GetValueOrDefault(\"Authorization\", \"\").AsJwt()?.Claims.GetValueOrDefault(\"roles\", \"\"))",
            "admin,user",
        ),
        (
            "@(context.Request.Method + \" \" + context.Request.Url.Path)",
            "GET /echo/resource",
        ),
        (
            "@(context.Request.Headers.GetValueOrDefault(\"Accept\",\"\"))",
            "text/plain,application/json",
        ),
        (
            "@(context.Request.Headers[\"Accept\"].Last())",
            "application/json",
        ),
        (
            "@(context.Request.Headers[\"Accept\"].Contains(\"application/json\", StringComparer.OrdinalIgnoreCase))",
            "True",
        ),
        ("@(context.Product?.Name ?? \"none\")", "none"),
        (
            "@(Regex.Match(\"/jobs/42\", \"/(?<kind>[a-z]+)/(?<id>[0-9]+)$\").Groups[\"id\"].Value)",
            "42",
        ),
        (
            "@(Regex.Match(\"/jobs/42\", \"/(?<kind>[a-z]+)\").Groups[\"nothing\"].Success)",
            "False",
        ),
        (
            "@(Regex.Match(\"/jobs/42\", \"/(?<kind>[a-z]+)/([0-9]+)\").Groups[2].Value)",
            "42",
        ),
        (
            "@(JsonConvert.SerializeObject(new { id = 1 + 1, context.Request.Method, list = new [] {1, 2}, inner = new { } }))",
            "{\"id\":2,\"Method\":\"GET\",\"list\":[1,2],\"inner\":{}}",
        ),
        (
            "@{ Jwt jwt; if (context.Request.Headers.GetValueOrDefault(\"Authorization\", \"\").Substring(7).TryParseJwt(out jwt)) { return jwt.Issuer; } return \"none\"; }",
            "me",
        ),
        (
            "@{ int n; var ok = int.TryParse(\" 42 \", out n); return $\"{ok} {n}\"; }",
            "True 42",
        ),
        (
            "@{ var n = 7; var ok = int.TryParse(\"4x\", out n); return $\"{ok} {n}\"; }",
            "False 0",
        ),
        (
            "@{ return int.TryParse(context.Variables.GetValueOrDefault<string>(\"nope\"), out var n) ? n : -1; }",
            "-1",
        ),
        (
            "@{ return double.TryParse(\"-1.5e1\", out double d) && bool.TryParse(\"TRUE\", out var b) && b ? d : 0.0; }",
            "-15",
        ),
        (
            "@{ Guid id; return Guid.TryParse(\"nonsense\", out id) || id != Guid.Empty; }",
            "False",
        ),
        (
            "@{ if (\"nonsense\".TryParseJwt(out Jwt jwt)) { return \"some\"; } return jwt == null; }",
            "True",
        ),
        (
            "@{ return \"Basic dTpw\".TryParseBasic(out var known) ? known.UserId + known.Password : \"none\"; }",
            "up",
        ),
        (
            "@(context.Product == null ? \"no\" : context.Product.Name)",
            "no",
        ),
        (
            "@(context.Product.Name)",
            "Object reference not set to an instance of an object.",
        ),
        ("@((string)context.Variables[\"token\"])", "abc"),
        (
            "@(context.Variables.GetValueOrDefault<int>(\"count\") + 1)",
            "4",
        ),
        (
            "@(context.Variables.GetValueOrDefault(\"nope\", \"d\"))",
            "d",
        ),
        ("@(context.Variables.ContainsKey(\"nope\"))", "False"),
        (
            "@((bool)((IResponse)context.Variables[\"tokenstate\"]).Body.As<JObject>()[\"active\"] == false)",
            "False",
        ),
        (
            "@(((IResponse)context.Variables[\"tokenstate\"]).StatusCode)",
            "200",
        ),
        ("@(context.Request.MatchedParameters[\"id\"])", "42"),
        (
            "@(context.User.Groups.Any(g => g.Name == \"Developers\"))",
            "True",
        ),
        (
            "@(context.RequestId.ToString(\"N\"))",
            "0123456789abcdef0123456789abcdef",
        ),
        (
            "@(string.Join(\";\", context.User.Groups.Select(g => g.Id)))",
            "developers",
        ),
        (
            "@(String.Format(\"{0:D3}-{1}\", 7, context.Deployment.Region))",
            "007-West US",
        ),
        ("@($\"{context.Request.Method}/{1 + 2:D2}\")", "GET/03"),
        (
            "@(context.Request.Headers.GetValueOrDefault(\"Authorization\", \"\").Split(' ')[1].AsJwt()?.Issuer)",
            "me",
        ),
        (
            "@(context.Request.Headers.GetValueOrDefault(\"Authorization\", \"\").AsJwt().Claims[\"roles\"].Contains(\"admin\"))",
            "True",
        ),
        (
            "@(context.Request.Headers.GetValueOrDefault(\"Missing\", \"\").AsJwt()?.Subject)",
            "",
        ),
        (
            "@(Regex.Match(context.Response.Headers.GetValueOrDefault(\"Cache-Control\",\"\"), @\"max-age=(?<maxAge>\\d+)\").Groups[1].Value)",
            "60",
        ),
        (
            "@(Convert.ToBase64String(Encoding.UTF8.GetBytes(\"a:b\")))",
            "YTpi",
        ),
        (
            "@(DateTime.UtcNow.AddMinutes(5).ToString(\"yyyy-MM-ddTHH:mm:ssZ\"))",
            "2023-11-14T22:18:20Z",
        ),
        (
            "@((DateTime.UtcNow - new DateTime(1970, 1, 1)).TotalSeconds)",
            "1700000000",
        ),
        (
            "@(context.Request.Body.As<JObject>(preserveContent: true)[\"a\"][\"b\"][1].Value<int>() * 10)",
            "20",
        ),
        (
            "@((int)context.Request.Body.As<JObject>(true).SelectToken(\"a.b[2]\"))",
            "3",
        ),
        (
            "@{ var r = context.Response.Body.As<JObject>(); foreach (var key in new [] {\"current\", \"minutely\"}) { r.Property(key).Remove(); } return r.ToString(Formatting.None); }",
            "{\"hourly\":[5]}",
        ),
        (
            "@{ var o = new JObject(); o[\"x\"] = 1; o[\"y\"] = new JObject(new JProperty(\"z\", \"q\")); o[\"y\"][\"w\"] = true; return o.ToString(Formatting.None); }",
            "{\"x\":1,\"y\":{\"z\":\"q\",\"w\":true}}",
        ),
        (
            "@{ int total = 0; for (int i = 0; i < 5; i++) { if (i == 3) { continue; } total += i; } return total; }",
            "7",
        ),
        (
            "@{ var list = new List<string>(); foreach (var h in context.Request.Headers) { list.Add(h.Key + \"=\" + h.Value.Count()); } return string.Join(\",\", list); }",
            "Accept=2,Authorization=1",
        ),
        (
            "@{ try { return int.Parse(\"x\"); } catch (Exception e) { return -1; } }",
            "-1",
        ),
        ("@(new [] {3, 1, 2}.OrderBy(x => x).First())", "1"),
        (
            "@{ var sb = new StringBuilder(); sb.Append(\"a\").Append(1); return sb.ToString(); }",
            "a1",
        ),
        ("@(7 / 2 + 7 % 2 + (7 > 3 ? 1 : 0))", "5"),
        ("@(\"abc\".Substring(1, 1) + \"abc\".IndexOf(\"c\"))", "b2"),
    ];
    for (source, expected) in cases {
        assert_eq!(value(source), *expected, "{source}");
    }
}

#[test]
fn wrong_expressions_are_compile_errors_with_a_position() {
    let cases: &[(&str, usize, &str)] = &[
        (
            "@(context.Request.Nothing)",
            18,
            "'Request' does not contain a definition for 'Nothing'.",
        ),
        (
            "@(context.Variables[\"a\"].Length)",
            25,
            "'object' does not contain a definition for 'Length'.",
        ),
        (
            "@(System.IO.File.ReadAllText(\"/etc/passwd\"))",
            9,
            "The name 'IO' does not exist in the current context.",
        ),
        (
            "@(1 + true)",
            4,
            "Operator '+' cannot be applied to types 'int' and 'bool'.",
        ),
        (
            "@(\"a\".Substring(\"b\"))",
            16,
            "Cannot convert type 'string' to 'int'.",
        ),
        ("@{ var a = 1; }", 0, "Not all code paths return a value."),
        (
            "@{ var a = null; return a; }",
            11,
            "Cannot assign null to an implicitly-typed variable.",
        ),
        (
            "@(Regex.IsMatch(\"a\", \"(?=a)\"))",
            21,
            "The regular expression is not supported",
        ),
        ("@(1 +)", 5, "Expression expected, but found the end."),
        (
            "@(undefined)",
            2,
            "The name 'undefined' does not exist in the current context.",
        ),
    ];
    for (source, at, message) in cases {
        let found = error(source);
        assert_eq!(found.0, *at, "{source}: {}", found.1);
        assert!(found.1.starts_with(message), "{source}: {}", found.1);
    }
}

#[test]
fn endless_loops_and_growing_texts_are_stopped() {
    assert_eq!(
        value("@{ while (true) { } return 0; }"),
        "The expression took too many steps."
    );
    assert_eq!(
        value("@{ var s = \"0123456789\"; while (true) { s = s + s; } return s; }"),
        "The expression used too much memory."
    );
    assert_eq!(
        value("@{ while (true) { try { while (true) { } } catch { } } return 0; }"),
        "The expression took too many steps."
    );
    let nested = format!("@({}1{})", "(".repeat(500), ")".repeat(500));
    assert_eq!(error(&nested).1, "Expression is nested too deeply.");
    let long = format!("@(1{})", " + 1".repeat(500));
    assert_eq!(error(&long).1, "Expression is nested too deeply.");
}

#[test]
fn only_expressions_that_read_a_body_need_it() {
    let needs = |source: &str| {
        let expression = Expression::compile(source, &Type::Object).unwrap();
        (
            expression.needs_body(Side::Request),
            expression.needs_body(Side::Response),
        )
    };
    assert_eq!(needs("@(context.Request.Method)"), (false, false));
    assert_eq!(needs("@(context.Request.Body.As<string>())"), (true, false));
    assert_eq!(
        needs("@(context.Response.Body.As<string>())"),
        (false, true)
    );
}
