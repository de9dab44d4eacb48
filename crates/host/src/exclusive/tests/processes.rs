//! D5 between two processes: a second one plays into a file endpoint that is paced by its data, and one that is killed
//! gives its endpoint back although a child of its own still holds the socket.

use std::os::unix::net::UnixListener;
use std::process::{Child, Command, Stdio};

use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};

use super::*;

/// Names the socket to the copy of this program that is the client.
const SOCKET: &str = "SOUNDPOST_TEST_EXCLUSIVE_SOCKET";
const FRAMES: u32 = 48_000 * 3 + 11;

/// Another process, which runs the same test as a client.
fn client(test: &str, socket: &Path) -> Child {
    let test = format!("exclusive::tests::processes::{test}");
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", &test, "--nocapture"]).env(SOCKET, socket).stdout(Stdio::piped()).spawn().unwrap()
}

/// Grants one endpoint to whoever asks at the socket.
fn grant(listener: &UnixListener, endpoint: Endpoint) -> Exclusive {
    let (socket, _) = listener.accept().unwrap();
    let mut line = String::new();
    BufReader::new(socket.try_clone().unwrap()).read_line(&mut line).unwrap();
    let request = OpenRequest::parse(&line).unwrap();
    assert_ne!(request.process, std::process::id(), "a process of its own");
    match Exclusive::grant(socket, endpoint, &request, ("file", "session")) {
        Ok(exclusive) => exclusive,
        Err(refused) => panic!("{}", refused.1.error),
    }
}

#[test]
fn d5_another_process_plays_into_a_file_endpoint_paced_by_its_data() {
    if let Ok(socket) = std::env::var(SOCKET) {
        let mut client = ExclusiveClient::open(Path::new(&socket), &OpenRequest::new(DataFlow::Render)).unwrap();
        return play(&mut client, &sound(FRAMES), usize::MAX).unwrap();
    }
    let dir = tempfile::tempdir().unwrap();
    let (path, socket) = (dir.path().join("a.wav"), dir.path().join("s"));
    let listener = UnixListener::bind(&socket).unwrap();
    let mut child = client("d5_another_process_plays_into_a_file_endpoint_paced_by_its_data", &socket);
    let endpoint = offline(&path, FORMAT, Arc::new(MonotonicClock)).unwrap();
    let Ended { endpoint, end } = grant(&listener, endpoint).serve();
    assert_eq!(end, ExclusiveEnd::Closed);
    assert!(child.wait().unwrap().success() && endpoint.is_some());
    let (file, sound) = (std::fs::read(&path).unwrap(), sound(FRAMES));
    assert!(file.ends_with(&sound) && file.len() == 0x50 + sound.len(), "{} bytes", file.len());
}

#[test]
fn d5_a_killed_client_whose_child_holds_the_socket_gives_the_endpoint_back() {
    if let Ok(socket) = std::env::var(SOCKET) {
        let mut client = ExclusiveClient::open(Path::new(&socket), &OpenRequest::new(DataFlow::Render)).unwrap();
        // A child that has the socket as its standard input, and outlives this process.
        let own = pidfd_open(getpid(), PidfdFlags::empty()).unwrap();
        let is_socket = |fd: &i32| {
            std::fs::read_link(format!("/proc/self/fd/{fd}"))
                .is_ok_and(|to| to.to_string_lossy().starts_with("socket:"))
        };
        let sockets: Vec<i32> = (3..64).filter(is_socket).collect();
        let [socket] = sockets[..] else { panic!("sockets {sockets:?}") };
        let held = pidfd_getfd(own, socket, PidfdGetfdFlags::empty()).unwrap();
        let mut child =
            Command::new("sleep").arg("5").stdin(held).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        client.start();
        println!("\nchild {}", child.id());
        std::io::stdout().flush().unwrap();
        // Until this process is killed.
        while client.write(&[0; 4_000]).is_ok() && client.wait(TICK).is_ok() {}
        child.kill().unwrap();
        child.wait().unwrap();
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("s");
    let listener = UnixListener::bind(&socket).unwrap();
    let mut child = client("d5_a_killed_client_whose_child_holds_the_socket_gives_the_endpoint_back", &socket);
    let exclusive = grant(&listener, null());
    let server = std::thread::spawn(move || exclusive.serve());
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    lines.find(|line| line.starts_with("child ")).expect("the client has a child");
    child.kill().unwrap();
    let ended = server.join().unwrap();
    assert_eq!(ended.end, ExclusiveEnd::Died);
    assert!(ended.endpoint.is_some());
    child.wait().unwrap();
}
