def is_proposal(w): return False
def propose(a,b): return ''
