//! An object store that speaks S3, with right conditional puts: moto (`bench/requirements.txt`), in memory.

use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::client::{request, try_request};
use super::python::tool;

/// The bucket of tests.
pub const BUCKET: &str = "letters";

/// A running one; ended when it is dropped.
#[derive(Debug)]
pub struct ObjectStore {
    address: SocketAddr,
    child: Child,
}

impl ObjectStore {
    /// Starts one without a bucket.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("its address");
        drop(listener);
        let child = Command::new(tool("moto_server"))
            .args(["-H", "127.0.0.1", "-p", &address.port().to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let store = Self { address, child };
        let begun = Instant::now();
        while try_request(address, "GET", "/moto-api/", &[], b"")
            .await
            .is_err()
        {
            assert!(begun.elapsed() < Duration::from_secs(60), "no object store");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        store
    }

    /// Makes the bucket of tests.
    pub async fn create_bucket(&self) {
        let made = request(self.address, "PUT", &format!("/{BUCKET}"), &[], b"").await;
        assert_eq!(made.status, 200, "{}", made.body);
    }

    /// What tells a program where it is.
    pub fn environment(&self) -> [(&'static str, String); 5] {
        [
            ("AWS_ENDPOINT_URL", format!("http://{}", self.address)),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", "key".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "secret".to_owned()),
        ]
    }
}

impl Drop for ObjectStore {
    fn drop(&mut self) {
        let _killed = self.child.kill();
        let _gone = self.child.wait();
    }
}
