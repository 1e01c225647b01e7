import Dispatch
import Foundation

/// A file that another one takes the place of, held until nobody waits for its space any more.
///
/// The system frees a file when its last name and its last descriptor are gone, and for some hundred megabytes that is a
/// tenth of a save. With a descriptor of its own the file outlives its name, and goes when a background thread closes it.
struct ReplacedFile {
  private static let releases = DispatchGroup()
  private let descriptor: Int32

  /// Holds the regular file at `path`, if there is one; first waits until the space of all earlier ones is free, so
  /// that the disk never holds more than the old file and the new.
  init(_ path: String) {
    Self.releases.wait()
    descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
  }

  /// Lets go of it; what is not replaced stays as it is.
  func release() {
    let descriptor = descriptor
    guard descriptor >= 0 else { return }
    DispatchQueue.global(qos: .utility).async(group: Self.releases) { close(descriptor) }
  }
}
