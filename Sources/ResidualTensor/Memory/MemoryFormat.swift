import CKernels

/// How the logical order of a tensor's elements maps to memory.
///
/// From rank 3 up, `[N, C, spatial...]` lies in memory as `[spatial..., N, C]`: all channels of one position of one
/// image are neighbours (vectors run over channels), and one position's images follow each other (a convolution or a
/// pooling is whole matrices, whatever the batch). Lower ranks are row-major.
public enum MemoryFormat {
  /// `[N, C, spatial...]` seen as a matrix: rows of N*C, columns of positions.
  private static func matrix(_ shape: [Int]) -> (rows: Int, columns: Int)? {
    guard shape.count > 2 else { return nil }
    let rows = shape[0] * shape[1]
    let columns = shape.dropFirst(2).reduce(1, *)
    return rows <= 1 || columns <= 1 ? nil : (rows, columns)
  }

  /// Copies elements in logical order to physical order.
  public static func toPhysical(
    _ source: UnsafePointer<Float>, shape: [Int], into destination: UnsafeMutablePointer<Float>
  ) {
    guard let matrix = matrix(shape) else { return copy(source, shape.elementCount, destination) }
    transpose(source, rows: matrix.rows, columns: matrix.columns, into: destination)
  }

  /// Copies elements in physical order to logical order.
  public static func toLogical(
    _ source: UnsafePointer<Float>, shape: [Int], into destination: UnsafeMutablePointer<Float>
  ) {
    guard let matrix = matrix(shape) else { return copy(source, shape.elementCount, destination) }
    transpose(source, rows: matrix.columns, columns: matrix.rows, into: destination)
  }

  private static func copy(
    _ source: UnsafePointer<Float>, _ count: Int, _ destination: UnsafeMutablePointer<Float>
  ) {
    destination.update(from: source, count: count)
  }

  private static func transpose(
    _ source: UnsafePointer<Float>, rows: Int, columns: Int, into destination: UnsafeMutablePointer<Float>
  ) {
    // Pieces of the longer side: a kernel of 3x3 has nine positions for a thousand rows.
    if rows > columns {
      Threads.run(over: rows, grain: max(1, elementwiseGrain / columns)) {
        rk_transpose(
          source + $0.lowerBound * columns, columns, $0.count, columns, destination + $0.lowerBound, rows)
      }
    } else {
      Threads.run(over: columns, grain: max(1, elementwiseGrain / rows)) {
        rk_transpose(
          source + $0.lowerBound, columns, rows, $0.count, destination + $0.lowerBound * rows, rows)
      }
    }
  }
}
