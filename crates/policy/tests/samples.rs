//! Expressions as published policy samples use them, in words of our own: they compile when a policy is stored.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use policy::expression::{Expression, Type};

const COMPILE: &[&str] = &[
    r#"@(context.Request.Headers.GetValueOrDefault("Authorization", "").Split(' ')[1].AsJwt()?.Claims.GetValueOrDefault("oid", "nobody"))"#,
    r#"@(context.Request.Headers.GetValueOrDefault("Authorization","").AsJwt()?.Subject)"#,
    r#"@(context.Variables.GetValueOrDefault<string>("tenant", "none").ToLowerInvariant())"#,
    r#"@((string)context.Variables["backend"] + "/" + (int)context.Variables["attempt"])"#,
    r#"@((bool)((IResponse)context.Variables["introspection"]).Body.As<JObject>()["active"] == false)"#,
    r#"@(((IResponse)context.Variables["answer"]).StatusCode == 200)"#,
    r#"@(new JObject(new JProperty("error", context.LastError.Message), new JProperty("at", DateTime.UtcNow)).ToString())"#,
    r#"@{ var body = context.Response.Body.As<JObject>(preserveContent: true); foreach (var name in new [] {"current", "hourly"}) { body.Property(name).Remove(); } return body.ToString(); }"#,
    r#"@{ JArray items = context.Response.Body.As<JArray>(true); var kept = new JArray(); foreach (JObject item in items) { if ((string)item["state"] == "open") { kept.Add(item); } } return kept.ToString(); }"#,
    r#"@(string.Join("\r\n", context.Request.Headers.Where(h => h.Key != "Authorization").Select(h => string.Format("{0}: {1}", h.Key, string.Join(", ", h.Value))).ToArray()))"#,
    r#"@{ var headers = context.Request.Headers.Select(h => $"{h.Key}: {string.Join(", ", h.Value)}"); return string.Join("\n", headers); }"#,
    r#"@(new Random().Next(0, 100) < 20 ? "canary" : "stable")"#,
    r#"@(context.User != null && context.User.Groups.Any(g => g.Name == "beta" || g.Id == "administrators"))"#,
    r#"@(context.User?.Id ?? context.Request.IpAddress)"#,
    r#"@("Basic " + Convert.ToBase64String(Encoding.UTF8.GetBytes("user" + ":" + "word")))"#,
    r#"@(Encoding.UTF8.GetString(Convert.FromBase64String(context.Request.Headers.GetValueOrDefault("X-Blob", ""))))"#,
    r#"@(context.Response.Body.As<JObject>(true).SelectToken("$.data.items[0].id").ToString())"#,
    r#"@(context.Request.MatchedParameters["id"] + context.Request.Url.Query.GetValueOrDefault("q", ""))"#,
    r#"@(context.Request.MatchedParameters.ContainsKey("id") && context.Request.MatchedParameters.GetValueOrDefault("id", "") != "")"#,
    r#"@(context.Request.OriginalUrl.Scheme + "://" + context.Request.OriginalUrl.Host + context.Request.OriginalUrl.Path + context.Request.OriginalUrl.QueryString)"#,
    r#"@(Regex.IsMatch(context.Request.Url.Path, "^/v[0-9]+/", RegexOptions.IgnoreCase))"#,
    r#"@(context.Elapsed.TotalMilliseconds > 500.0 && context.Response.StatusCode >= 500)"#,
    r#"@(context.Deployment.Region + context.Deployment.ServiceName + context.Api.Version + context.Api.Revision + context.Operation.Id + context.Product?.Name)"#,
    r#"@(context.Subscription?.Key != null ? context.Subscription.Id : "anonymous")"#,
    r#"@(DateTime.UtcNow.AddMinutes(5).ToString("yyyy-MM-ddTHH:mm:ssZ"))"#,
    r#"@(DateTime.Parse(context.Request.Headers.GetValueOrDefault("X-At", "2020-01-01")) < DateTime.UtcNow)"#,
    r#"@(context.Request.Method.Equals("POST", StringComparison.OrdinalIgnoreCase))"#,
    r#"@(Guid.NewGuid().ToString("N"))"#,
    r#"@{ string[] allowed = new string[] { "a", "b" }; return allowed.Contains(context.Request.Headers.GetValueOrDefault("X", "")); }"#,
    r#"@{ var map = new Dictionary<string, string>() { {"eu", "https://eu.example"}, {"us", "https://us.example"} }; return map["eu"]; }"#,
    r#"@{ BasicAuthCredentials c = context.Request.Headers.GetValueOrDefault("Authorization", "").AsBasic(); return c?.UserId; }"#,
    r#"@(context.Request.Certificate == null || !context.Request.Certificate.Verify() || context.Request.Certificate.Thumbprint != "AB")"#,
    r#"@(context.Request.Body.AsFormUrlEncodedContent(true)["grant_type"].First() == "password")"#,
    r#"@{ var token = ((IResponse)context.Variables["token"]).Body.As<JObject>(); return "Bearer " + (string)token["access_token"]; }"#,
    r#"@(Uri.EscapeDataString(context.Request.Headers.GetValueOrDefault("X-Name", "")))"#,
    r#"@(Math.Min(30, Math.Pow(2, context.Variables.GetValueOrDefault<int>("attempt", 0))))"#,
    r#"@(context.Request.Headers["X-Forwarded-For"].Last().Split(',').First().Trim())"#,
    r#"@(Regex.Match(context.Request.Url.Path, "/(?<id>[0-9]+)$").Groups["id"].Value)"#,
    r#"@(JsonConvert.SerializeObject(new { id = context.RequestId, ip = context.Request.IpAddress }))"#,
    r#"@{ Jwt jwt; if (context.Request.Headers.GetValueOrDefault("Authorization", "").Substring(7).TryParseJwt(out jwt)) { return jwt.Audiences.FirstOrDefault(); } return ""; }"#,
    r#"@{ if (context.Request.Headers.GetValueOrDefault("Authorization", "").TryParseBasic(out var known)) { return known.UserId; } return ""; }"#,
];

/// What is not there is refused when it is stored, whatever the caller's request would be.
const REFUSED: &[&str] = &[
    "@(context.Nothing)",
    "@(context.Request.Nothing)",
    r#"@(context.Request.Headers.Nothing("a"))"#,
    "@(context.Variables.Nothing())",
    r#"@("a".Nothing())"#,
    "@(System.IO.File.ReadAllText(\"/etc/passwd\"))",
    "@(Environment.GetEnvironmentVariable(\"PATH\"))",
    "@(new System.Net.WebClient())",
    "@(typeof(string).Assembly)",
    "@(context.GetType())",
];

#[test]
fn expressions_of_published_samples_compile() {
    let failing: Vec<String> = COMPILE
        .iter()
        .filter_map(|source| {
            let errors = Expression::compile(source, &Type::Object).err()?;
            Some(format!("{source}\n    {errors:?}"))
        })
        .collect();
    assert!(failing.is_empty(), "{}", failing.join("\n"));
}

#[test]
fn unknown_members_are_refused_when_a_policy_is_stored() {
    for source in REFUSED {
        let xml = format!(
            "<policies><inbound><set-variable name=\"v\" value=\"{source}\" /></inbound></policies>"
        );
        let problems = policy::parse(&xml, policy::Format::RawXml, policy::Scope::Api).unwrap_err();
        assert!(
            problems
                .iter()
                .all(|problem| problem.line == 1 && problem.column > 50),
            "{problems:?}"
        );
    }
}

/// Forms of C# that the documented subset leaves out.
const OUTSIDE: &[&str] = &[
    r#"@("a.b.c".TryParseJwt(out var jwt) ? "yes" : "no")"#,
    r#"@{ int n; return int.TryParse("1", n); }"#,
    r#"@{ int a; int b; return int.TryParse(int.TryParse("1", out a).ToString(), out b); }"#,
    r#"@{ int a; int b; return int.TryParse($"{int.TryParse("1", out a)}", out b); }"#,
    r#"@{ string n; return int.TryParse("1", out n); }"#,
    r#"@(new { 1 + 1 })"#,
    r#"@{ var row = new { id = 1 }; return row.id; }"#,
];

#[test]
fn what_the_subset_leaves_out_is_refused_when_a_policy_is_stored() {
    let compiled: Vec<&&str> = OUTSIDE
        .iter()
        .filter(|text| Expression::compile(text, &Type::Object).is_ok())
        .collect();
    assert_eq!(compiled, Vec::<&&str>::new());
}
