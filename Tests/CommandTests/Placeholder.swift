import Residual
import Testing
