def read_free(m): raise NotImplementedError
