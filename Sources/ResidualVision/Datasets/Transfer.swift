import Foundation
import Synchronization

#if canImport(FoundationNetworking)
  import FoundationNetworking
#endif

/// One request for a file, or for the rest of it, written to a partial file as it comes.
final class Transfer: NSObject, URLSessionDataDelegate, Sendable {
  private let download: Download
  private let mirror: URL
  private let file: PartialFile
  private let hasEnded = DispatchSemaphore(value: 0)
  private let state = Mutex(State())

  private struct State {
    var byteCount = 0
    var totalByteCount: Int?
    var failure: DatasetError?
  }

  init(of download: Download, from mirror: URL, into file: PartialFile) {
    self.download = download
    self.mirror = mirror
    self.file = file
  }

  /// Waits until everything is there.
  ///
  /// - Throws: `DatasetError`, `.downloadFailed` when what has come so far is good as far as it goes.
  func run() throws(DatasetError) {
    let start = try file.byteCount()
    var request = URLRequest(url: mirror, cachePolicy: .reloadIgnoringLocalCacheData, timeoutInterval: download.timeout)
    // Ranges and sizes are of the file itself, not of a packed form of it for the way.
    request.setValue("identity", forHTTPHeaderField: "Accept-Encoding")
    if start > 0 { request.setValue("bytes=\(start)-", forHTTPHeaderField: "Range") }
    state.withLock { $0.byteCount = start }

    let configuration = URLSessionConfiguration.ephemeral
    configuration.timeoutIntervalForRequest = download.timeout
    let session = URLSession(configuration: configuration, delegate: self, delegateQueue: nil)
    session.dataTask(with: request).resume()
    hasEnded.wait()
    session.finishTasksAndInvalidate()
    if let failure = state.withLock({ $0.failure }) { throw failure }
  }

  func urlSession(
    _ session: URLSession, dataTask: URLSessionDataTask, didReceive response: URLResponse,
    completionHandler: @escaping (URLSession.ResponseDisposition) -> Void
  ) {
    completionHandler(accept(response) ? .allow : .cancel)
  }

  func urlSession(_ session: URLSession, dataTask: URLSessionDataTask, didReceive data: Data) {
    guard write(data) else { return dataTask.cancel() }
    let (byteCount, total) = state.withLock { ($0.byteCount, $0.totalByteCount) }
    download.progress?(
      Download.Progress(name: download.target.lastPathComponent, byteCount: byteCount, totalByteCount: total))
  }

  func urlSession(_ session: URLSession, task: URLSessionTask, didCompleteWithError error: (any Error)?) {
    if let error {
      fail(DatasetError(.downloadFailed, "the connection failed", cause: error.localizedDescription))
    } else {
      let (byteCount, total) = state.withLock { ($0.byteCount, $0.totalByteCount) }
      if let total, byteCount < total {
        fail(DatasetError(.downloadFailed, "the connection ended after \(byteCount) of \(total) bytes"))
      }
    }
    hasEnded.signal()
  }

  /// Whether the answer is the file, from where it was asked for on; a file from its beginning replaces what was there.
  private func accept(_ response: URLResponse) -> Bool {
    guard let response = response as? HTTPURLResponse else {
      return fail(DatasetError(.downloadFailed, "the answer is not HTTP"))
    }
    do throws(DatasetError) {
      switch response.statusCode {
      case 200:
        try file.truncate()
        state.withLock { $0.byteCount = 0 }
      case 206 where rangeStart(of: response) == state.withLock({ $0.byteCount }):
        break
      case 206, 416:
        throw DatasetError(.inconsistent, "the mirror has no such range of the file (HTTP \(response.statusCode))")
      default:
        throw DatasetError(.downloadFailed, "HTTP \(response.statusCode)")
      }
      let rest = Int(response.expectedContentLength)
      if rest >= 0 { state.withLock { $0.totalByteCount = $0.byteCount + rest } }
      return true
    } catch {
      return fail(error)
    }
  }

  private func write(_ data: Data) -> Bool {
    let (byteCount, hasFailed) = state.withLock { state in
      state.byteCount += data.count
      return (state.byteCount, state.failure != nil)
    }
    // The body of a refused answer may still come while the task is being cancelled.
    guard !hasFailed else { return false }
    guard byteCount <= download.maximumByteCount else {
      return fail(DatasetError(.tooLarge, "the mirror sends more than the \(download.maximumByteCount) bytes expected"))
    }
    do throws(DatasetError) {
      try file.append([UInt8](data))
      return true
    } catch {
      return fail(error)
    }
  }

  /// Keeps the first failure; what follows is its consequence.
  @discardableResult
  private func fail(_ error: DatasetError) -> Bool {
    state.withLock { $0.failure = $0.failure ?? error }
    return false
  }

  private func rangeStart(of response: HTTPURLResponse) -> Int? {
    guard let range = response.value(forHTTPHeaderField: "Content-Range"), range.hasPrefix("bytes ") else { return nil }
    return Int(range.dropFirst(6).prefix { $0.isNumber })
  }
}
