//! `templates`

use crate::world::{World, body};
use engine::{Value, json, sqlx};

const TEMPLATE: &str = "/templates/passwordResetIdentityDefault";

#[tokio::test]
async fn a_template_is_changed_used_and_reset() {
    let world = World::new().await;
    let default = world.get(TEMPLATE).await.expect(200);
    assert_eq!(default["name"], "PasswordResetIdentityDefault");
    assert_eq!(default["properties"]["isDefault"], true);

    let changed = world
        .patch(TEMPLATE, json!({"subject": "Key for $DevFirstName"}))
        .await
        .expect(200);
    assert_eq!(changed["properties"]["isDefault"], false);
    assert_eq!(changed["properties"]["body"], default["properties"]["body"]);
    world
        .post("/users/1/confirmations/password/send", Value::Null)
        .await
        .expect(204);
    let subject: String = sqlx::query_scalar("SELECT subject FROM mails")
        .fetch_one(&world.pool)
        .await
        .expect("a mail");
    assert_eq!(subject, "Key for Administrator");

    world.delete(TEMPLATE).await.expect(200);
    assert_eq!(world.get(TEMPLATE).await.expect(200), default);
}

#[tokio::test]
async fn a_template_that_cannot_be_rendered_is_refused() {
    let world = World::new().await;
    let wrong = json!({"subject": "Hello $Nobody", "body": "<p>#if($DevFirstName)</p>"});
    assert_eq!(
        world.put(TEMPLATE, body(wrong)).await.targets(),
        ["subject", "body"]
    );
    let unknown = world
        .put(
            "/templates/other",
            body(json!({"subject": "a", "body": "b"})),
        )
        .await;
    assert_eq!(unknown.targets(), ["templateName"]);
}

#[tokio::test]
async fn templates_are_found_by_name() {
    let world = World::new().await;
    let found = world
        .names("/templates?$filter=startswith(name, 'passwordReset')")
        .await;
    assert_eq!(
        found,
        [
            "PasswordResetByAdminNotificationMessage",
            "PasswordResetIdentityDefault"
        ]
    );
}

#[tokio::test]
async fn a_preview_shows_stored_texts_drafts_and_the_other_language() {
    let world = World::new().await;
    for template in mail::TEMPLATES {
        let path = format!("/templates/{}/preview", template.name);
        for language in ["en", "cs"] {
            let shown = world
                .post(&path, json!({"language": language}))
                .await
                .expect(200);
            let text = shown.to_string();
            assert!(
                !text.contains("$Dev") && text.contains("demoazureml"),
                "{path}: {text}"
            );
        }
    }
    let path = format!("{TEMPLATE}/preview");
    let stored = world.post(&path, Value::Null).await.expect(200);
    assert!(
        stored["html"]
            .as_str()
            .is_some_and(|html| html.contains("Ann")),
        "{stored}"
    );
    let draft = json!({"subject": "Hi $DevFirstName", "body": "<p>$DevLastName</p>", "parameters": {"DevLastName": "<b>"}});
    assert_eq!(
        world.post(&path, draft).await.expect(200),
        json!({"subject": "Hi Ann", "html": "<p>&lt;b&gt;</p>", "text": "<b>\n"})
    );
    let wrong = json!({"subject": "$Nobody", "body": " ", "parameters": {"DevLastName": 1}});
    assert_eq!(
        world.post(&path, wrong).await.targets(),
        ["subject", "body", "parameters.DevLastName"]
    );
    assert_eq!(
        world
            .post(&path, json!({"to": "ann@example.org"}))
            .await
            .targets(),
        ["to"]
    );
    assert_eq!(world.mails().await, [], "a preview sends nothing");
}

#[tokio::test]
async fn a_test_is_sent_to_one_checked_address() {
    let world = World::new().await;
    let path = format!("{TEMPLATE}/send");
    let sent = world
        .post(
            &path,
            json!({"to": "ops@example.org", "subject": "Draft\r\nBcc: all@example.org"}),
        )
        .await
        .expect(200);
    let id = sent["mail"].as_str().expect("an id");
    assert!(id.contains("/service/demo/mails/"), "{id}");
    let (recipient, subject): (String, String) =
        sqlx::query_as("SELECT recipient, subject FROM mails")
            .fetch_one(&world.pool)
            .await
            .expect("a mail");
    assert_eq!(
        (recipient.as_str(), subject.as_str()),
        ("ops@example.org", "Draft Bcc: all@example.org")
    );
    for to in [
        Value::Null,
        json!("nobody"),
        json!("a@example.org\r\nBcc: b@example.org"),
        json!("a@example.org, b@example.org"),
    ] {
        let mut given = json!({});
        if !to.is_null() {
            given["to"] = to;
        }
        assert_eq!(world.post(&path, given).await.targets(), ["to"]);
    }
}

#[tokio::test]
async fn a_service_speaks_the_language_that_it_names() {
    let world = World::new().await;
    world
        .patch(
            "/templates/RejectDeveloperNotificationMessage",
            json!({"subject": "No"}),
        )
        .await
        .expect(200);
    let language = |code: &str| json!({"customProperties": {"Portico.Mail.Language": code}});
    assert_eq!(
        world
            .patch(crate::world::SERVICE, language("de"))
            .await
            .targets(),
        ["customProperties.Portico.Mail.Language"]
    );
    world
        .patch(crate::world::SERVICE, language("cs"))
        .await
        .expect(200);
    let template = world.get(TEMPLATE).await.expect(200);
    let czech =
        kinds::email_template::default("passwordResetIdentityDefault", mail::Language::Czech)
            .expect("a default");
    assert_eq!(template["properties"]["subject"], czech.subject);
    assert_eq!(template["properties"]["isDefault"], true);
    let own = world
        .get("/templates/RejectDeveloperNotificationMessage")
        .await
        .expect(200);
    assert_eq!(own["properties"]["subject"], "No", "changed texts stay");
    world
        .delete("/templates/RejectDeveloperNotificationMessage")
        .await
        .expect(200);
    let reset = world
        .get("/templates/RejectDeveloperNotificationMessage")
        .await
        .expect(200);
    assert!(
        reset["properties"]["body"]
            .as_str()
            .is_some_and(|body| body.contains("lang=\"cs\"")),
        "{reset}"
    );
}
