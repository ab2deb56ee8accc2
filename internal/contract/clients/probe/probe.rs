// Record, meet a conflict as a typed problem, read a resource's history, through the Rust client.
use ocore_audit::apis::{audit_api as audit, configuration::Configuration, Error};
use ocore_audit::models::{NewAuditLog, Problem};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

#[tokio::main]
async fn main() {
    let address = std::env::var("OCORE_AUDIT_URL").expect("OCORE_AUDIT_URL");
    let c = Configuration {
        base_path: format!("{address}/api"),
        bearer_access_token: std::env::var("TOKEN").ok(),
        ..Configuration::new()
    };
    let id = format!("rs{}", std::process::id());
    let odd = format!("eu/rack 7/50%25 ü {id}");
    let mut entry = NewAuditLog::new("a.b".into(), "t".into());
    entry.id = Some(id.clone());
    entry.resource_id = Some(odd.clone());
    entry.after_state = Some([("n".to_string(), serde_json::Value::Null)].into());
    let stored = audit::create_audit_log(&c, entry.clone(), None).await.expect("record");
    check(stored.id == id && stored.before_state.is_none(), "record");
    check(stored.after_state == entry.after_state, "a null inside a state");
    let page = audit::list_audit_logs(&c, None, None, Some(5), None, Some("t"), Some(&odd), None, None, None, None).await.expect("list");
    check(page.per_page == 5 && page.total == 1, "list");
    let page = audit::list_resource_audit_logs(&c, "t", &odd, None, None, None, None, None, None, None, None, None, None).await.expect("history");
    check(page.total == 1 && page.items.iter().all(|e| e.resource_id.as_ref() == Some(&odd)), "history");
    entry.action = "other".into();
    match audit::create_audit_log(&c, entry, None).await {
        Err(Error::ResponseError(e)) => {
            let problem: Problem = serde_json::from_str(&e.content).expect("a problem");
            check(e.status.as_u16() == 409 && problem.id.as_ref() == Some(&id), "conflict");
            // Every problem has one schema, and the generated reader takes the first variant that fits.
            check(matches!(e.entity, Some(audit::CreateAuditLogError::Status409(_))), "conflict by its variant");
        }
        other => panic!("{other:?}"),
    }
    std::process::exit(FAILED.load(Relaxed).into());
}

static FAILED: AtomicBool = AtomicBool::new(false);

fn check(right: bool, what: &str) {
    println!("{} rust: {what}", if right { "ok  " } else { "FAIL" });
    FAILED.fetch_or(!right, Relaxed);
}
