// One import for the whole library.
@_exported import ResidualNN
@_exported import ResidualState
@_exported import ResidualTensor
@_exported import ResidualTraining
@_exported import ResidualVision
