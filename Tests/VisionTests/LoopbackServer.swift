import Foundation
import Synchronization

/// A web server on 127.0.0.1 that serves one content, well or badly, to any path.
final class LoopbackServer: Sendable {
  /// What the server does with a request.
  enum Mode: Sendable {
    /// Serves the content, or the range of it that is asked for.
    case good
    /// Serves the whole content, whatever is asked for.
    case ignoresRanges
    /// Answers 404.
    case notFound
    /// Serves a web page in place of the content.
    case webPage
    /// Serves so many bytes of what is asked for, then hangs up.
    case hangsUp(after: Int)
  }

  let content: [UInt8]

  /// The requests that came, heads only, oldest first.
  var requests: [String] { log.withLock { $0 } }

  private let address: sockaddr_in
  private let isStopping = Atomic(false)
  private let hasEnded = DispatchSemaphore(value: 0)
  private let log = Mutex<[String]>([])
  private let mode: Mutex<Mode>

  init(_ content: [UInt8], mode: Mode = .good) throws {
    self.content = content
    self.mode = Mutex(mode)
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    let listener = Self.makeSocket()
    let isListening = withSocketAddress(&address) { address, size in
      var size = size
      return bind(listener, address, size) == 0 && listen(listener, 8) == 0
        && getsockname(listener, address, &size) == 0
    }
    self.address = address
    guard isListening else { throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EIO) }
    // Who accepts closes: closed by another thread, the number could be the next server's by the next accept.
    Thread.detachNewThread { [self] in
      while true {
        let connection = accept(listener, nil, nil)
        guard connection >= 0 else { break }
        defer { close(connection) }
        if isStopping.load(ordering: .acquiring) { break }
        answer(connection)
      }
      close(listener)
      hasEnded.signal()
    }
  }

  /// Stops listening and waits until the thread, woken by a last connection, has ended.
  func stop() {
    isStopping.store(true, ordering: .releasing)
    let connection = Self.makeSocket()
    var address = address
    _ = withSocketAddress(&address) { connect(connection, $0, $1) }
    hasEnded.wait()
    close(connection)
  }

  func change(to mode: Mode) {
    self.mode.withLock { $0 = mode }
  }

  func url(_ path: String = "file") throws -> URL {
    let port = UInt16(bigEndian: address.sin_port)
    guard let url = URL(string: "http://127.0.0.1:\(port)/\(path)") else { throw POSIXError(.EINVAL) }
    return url
  }

  private static func makeSocket() -> Int32 {
    #if os(Linux)
      socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    #else
      socket(AF_INET, SOCK_STREAM, 0)
    #endif
  }

  private func answer(_ connection: Int32) {
    let request = receiveHead(connection)
    log.withLock { $0.append(request) }
    let asked = request.firstMatch(of: /Range: bytes=(\d+)-/).flatMap { Int($0.1) }
    switch mode.withLock({ $0 }) {
    case .good: serve(from: asked, count: content.count, to: connection)
    case .ignoresRanges: serve(from: nil, count: content.count, to: connection)
    case .hangsUp(let count): serve(from: asked, count: count, to: connection)
    case .notFound: send(head("404 Not Found", length: 9), Array("not found".utf8), to: connection)
    case .webPage:
      let page = Array("<!DOCTYPE html><title>Sign in to this network</title>".utf8)
      send(head("200 OK", length: page.count), page, to: connection)
    }
  }

  private func serve(from start: Int?, count: Int, to connection: Int32) {
    guard let start else {
      return send(head("200 OK", length: content.count), Array(content.prefix(count)), to: connection)
    }
    guard start < content.count else { return send(head("416 Range Not Satisfiable", length: 0), [], to: connection) }
    let range = "Content-Range: bytes \(start)-\(content.count - 1)/\(content.count)\r\n"
    let rest = content[start...]
    send(head("206 Partial Content", length: rest.count, range), Array(rest.prefix(count)), to: connection)
  }

  private func head(_ status: String, length: Int, _ more: String = "") -> String {
    "HTTP/1.1 \(status)\r\nContent-Length: \(length)\r\nConnection: close\r\n\(more)\r\n"
  }

  private func send(_ head: String, _ body: [UInt8], to connection: Int32) {
    let bytes = Array(head.utf8) + body
    var sent = 0
    while sent < bytes.count {
      #if os(Linux)
        let flags = Int32(MSG_NOSIGNAL)
      #else
        let flags: Int32 = 0
      #endif
      let count = bytes[sent...].withUnsafeBytes { Foundation.send(connection, $0.baseAddress, $0.count, flags) }
      guard count > 0 else { return }
      sent += count
    }
  }

  private func receiveHead(_ connection: Int32) -> String {
    var head: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: 4096)
    while !head.suffix(4).elementsEqual([13, 10, 13, 10]) {
      let count = recv(connection, &piece, piece.count, 0)
      guard count > 0 else { break }
      head += piece.prefix(count)
    }
    return String(decoding: head, as: UTF8.self)
  }
}

private func withSocketAddress<Result>(
  _ address: inout sockaddr_in, _ body: (UnsafeMutablePointer<sockaddr>, socklen_t) -> Result
) -> Result {
  let size = socklen_t(MemoryLayout<sockaddr_in>.size)
  return withUnsafeMutablePointer(to: &address) { address in
    address.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, size) }
  }
}
