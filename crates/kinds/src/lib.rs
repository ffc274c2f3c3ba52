//! The kinds of resources: one file each, copied from [`product`]; the list is [`registry`].
//!
//! To add one: a file here, a migration, a line in the list, `make goldens`. [`activation`] fills a
//! new service, [`notify`] turns events into mails; everything else is the engine's.

pub mod activation;
pub mod api;
pub mod api_gateway;
pub mod api_version_set;
pub mod audit_entry;
pub mod authorization;
pub mod authorization_login;
pub mod authorization_server;
pub mod backend;
pub mod cache;
pub mod certificate;
pub mod content;
pub mod deleted_entity;
pub mod developer_portal;
pub mod diagnostic;
pub mod documentation;
pub mod email_template;
pub mod export;
pub mod gateway;
pub mod group;
pub mod identity_provider;
pub mod import;
pub mod issue;
pub mod key_vault;
pub mod link_resource;
pub mod logger;
pub mod named_value;
pub mod notification;
pub mod notify;
pub mod openid_connect_provider;
pub mod operation;
pub mod platform;
pub mod policy;
pub mod policy_fragment;
pub mod policy_restriction;
pub mod policy_test;
pub mod portal_config;
pub mod portal_revision;
pub mod portal_setting;
pub mod private_endpoint_connection;
pub mod product;
pub mod quota_notice;
pub mod recipient;
pub mod release;
pub mod resolver;
mod revision;
pub mod schema;
pub mod service;
pub mod subscription;
pub mod tag;
pub mod tag_description;
mod tag_resource;
pub mod tenant_access;
pub mod user;
pub mod wiki;
pub mod workspace;
pub mod workspace_link;

use engine::{Join, Link, Registry, kind, link};

/// All kinds and links.
#[must_use]
pub fn registry() -> Registry {
    let listings = [revision::LISTING]
        .into_iter()
        .chain(tag_resource::listings());
    let registry = Registry::default()
        .with::<service::Service>()
        .with::<workspace::Workspace>()
        .with::<workspace_link::WorkspaceLink>()
        .with::<api::Api>()
        .with::<operation::Operation>()
        .with::<release::Release>()
        .with::<product::Product>()
        .with::<group::Group>()
        .with::<user::User>()
        .with::<subscription::Subscription>()
        .with::<policy::ServicePolicy>()
        .with::<policy::ProductPolicy>()
        .with::<policy::ApiPolicy>()
        .with::<policy::OperationPolicy>()
        .with::<named_value::NamedValue>()
        .with::<notification::Notification>()
        .with::<recipient::RecipientUser>()
        .with::<recipient::RecipientEmail>()
        .with::<email_template::EmailTemplate>()
        .with::<tenant_access::TenantAccess>()
        .with::<audit_entry::AuditEntry>()
        .with::<deleted_entity::DeletedEntity>()
        .with::<tag::Tag>()
        .with::<link_resource::ProductApiLink>()
        .with::<link_resource::ProductGroupLink>()
        .with::<link_resource::TagApiLink>()
        .with::<link_resource::TagOperationLink>()
        .with::<link_resource::TagProductLink>()
        .with::<tag_description::TagDescription>()
        .with::<api_version_set::ApiVersionSet>()
        .with::<backend::Backend>()
        .with::<policy_fragment::PolicyFragment>()
        .with::<schema::GlobalSchema>()
        .with::<schema::ApiSchema>()
        .with::<cache::Cache>()
        .with::<certificate::Certificate>()
        .with::<openid_connect_provider::OpenidConnectProvider>()
        .with::<authorization_server::AuthorizationServer>()
        .with::<identity_provider::IdentityProvider>()
        .with::<issue::Issue>()
        .with::<issue::Comment>()
        .with::<issue::Attachment>()
        .with::<documentation::Documentation>()
        .with::<developer_portal::DeveloperPortal>()
        .with::<wiki::ApiWiki>()
        .with::<wiki::ProductWiki>()
        .with::<issue::ServiceIssue>()
        .with::<logger::Logger>()
        .with::<diagnostic::ServiceDiagnostic>()
        .with::<diagnostic::ApiDiagnostic>()
        .with::<portal_setting::PortalSetting>()
        .with::<portal_config::PortalConfig>()
        .with::<portal_revision::PortalRevision>()
        .with::<content::ContentType>()
        .with::<content::ContentItem>()
        .with::<policy_restriction::PolicyRestriction>()
        .with::<policy_test::PolicyTest>()
        .with::<resolver::Resolver>()
        .with::<resolver::ResolverPolicy>()
        .with::<authorization::AuthorizationProvider>()
        .with::<authorization::Authorization>()
        .with::<authorization::AuthorizationAccessPolicy>()
        .with::<private_endpoint_connection::PrivateEndpointConnection>()
        .with::<gateway::Gateway>()
        .with::<gateway::GatewayHostnameConfiguration>()
        .with::<gateway::GatewayCertificateAuthority>()
        .with::<api_gateway::ApiGateway>()
        .with::<api_gateway::ConfigConnection>()
        .link(Link {
            title: "GatewayApi",
            parent: kind::<gateway::Gateway>(),
            segment: "apis",
            parameter: "apiId",
            target: kind::<api::Api>(),
            join: Join::Table {
                table: "gateway_apis",
                parent: "gateway_id",
                target: "api_id",
            },
            writable: true,
            readable: true,
            in_workspaces: false,
            rule: gateway::association,
        })
        .link(Link {
            title: "ApiTag",
            parent: kind::<api::Api>(),
            segment: "tags",
            parameter: "tagId",
            target: kind::<tag::Tag>(),
            join: Join::Table {
                table: "api_tags",
                parent: "api_id",
                target: "tag_id",
            },
            writable: true,
            readable: true,
            in_workspaces: false,
            rule: link::any,
        })
        .link(Link {
            title: "OperationTag",
            parent: kind::<operation::Operation>(),
            segment: "tags",
            parameter: "tagId",
            target: kind::<tag::Tag>(),
            join: Join::Table {
                table: "operation_tags",
                parent: "operation_id",
                target: "tag_id",
            },
            writable: true,
            readable: true,
            in_workspaces: false,
            rule: link::any,
        })
        .link(Link {
            title: "ProductTag",
            parent: kind::<product::Product>(),
            segment: "tags",
            parameter: "tagId",
            target: kind::<tag::Tag>(),
            join: Join::Table {
                table: "product_tags",
                parent: "product_id",
                target: "tag_id",
            },
            writable: true,
            readable: true,
            in_workspaces: false,
            rule: link::any,
        })
        .link(Link {
            title: "ProductApi",
            parent: kind::<product::Product>(),
            segment: "apis",
            parameter: "apiId",
            target: kind::<api::Api>(),
            join: Join::Table {
                table: "product_apis",
                parent: "product_id",
                target: "api_id",
            },
            writable: true,
            readable: false,
            in_workspaces: false,
            rule: link::any,
        })
        .link(Link {
            title: "ProductGroup",
            parent: kind::<product::Product>(),
            segment: "groups",
            parameter: "groupId",
            target: kind::<group::Group>(),
            join: Join::Table {
                table: "product_groups",
                parent: "product_id",
                target: "group_id",
            },
            writable: true,
            readable: false,
            in_workspaces: false,
            rule: link::any,
        })
        .link(Link {
            title: "ProductSubscriptions",
            parent: kind::<product::Product>(),
            segment: "subscriptions",
            parameter: "sid",
            target: kind::<subscription::Subscription>(),
            join: Join::Column("scope_product_id"),
            writable: false,
            readable: false,
            in_workspaces: false,
            rule: link::any,
        })
        .link(Link {
            title: "ApiProduct",
            parent: kind::<api::Api>(),
            segment: "products",
            parameter: "productId",
            target: kind::<product::Product>(),
            join: Join::Table {
                table: "product_apis",
                parent: "api_id",
                target: "product_id",
            },
            writable: false,
            readable: false,
            in_workspaces: false,
            rule: link::any,
        })
        .link(Link {
            title: "GroupUser",
            parent: kind::<group::Group>(),
            segment: "users",
            parameter: "userId",
            target: kind::<user::User>(),
            join: Join::Table {
                table: "group_users",
                parent: "group_id",
                target: "user_id",
            },
            writable: true,
            readable: false,
            in_workspaces: true,
            rule: group::membership,
        })
        .link(Link {
            title: "UserGroup",
            parent: kind::<user::User>(),
            segment: "groups",
            parameter: "groupId",
            target: kind::<group::Group>(),
            join: Join::Table {
                table: "group_users",
                parent: "user_id",
                target: "group_id",
            },
            writable: false,
            readable: false,
            in_workspaces: false,
            rule: link::any,
        })
        .link(Link {
            title: "UserSubscription",
            parent: kind::<user::User>(),
            segment: "subscriptions",
            parameter: "sid",
            target: kind::<subscription::Subscription>(),
            join: Join::Column("owner_id"),
            writable: false,
            readable: true,
            in_workspaces: false,
            rule: link::any,
        });
    listings.fold(registry, Registry::listing)
}
