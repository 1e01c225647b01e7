import ResidualTensor
import Testing
